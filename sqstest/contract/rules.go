package contract

import "slices"

// Rule is one statement about SQS, in words for readers, and the rows that show it.
type Rule struct {
	// About is the chapter it belongs to.
	About string
	// Text is the statement.
	Text string
	// Rows are the names of the rows that show it. One that ends with a slash stands for all rows
	// whose names begin with it. There is none when Unshown says why.
	Rows []string
	// Unshown says why no row shows it, and what the embedded queue does about it; empty if one does.
	Unshown string
}

// Rules returns what is known of SQS's behaviour, by chapter. Each row stands beside at least one.
func Rules() []Rule {
	return slices.Concat(
		chapter("Receiving", aboutReceiving), chapter("Attributes in an answer", aboutFilters), chapter("Visibility", aboutVisibility),
		chapter("Deleting", aboutDeleting), chapter("FIFO order", aboutOrder), chapter("FIFO sends and attempts", aboutFIFO),
		chapter("Dead letters", aboutRedrive), chapter("Moving dead letters back", aboutMoves), chapter("Sending", aboutSending),
		chapter("Batches", aboutBatches), chapter("Fair queues", aboutFairness), chapter("Queues", aboutQueues), chapter("Errors", aboutErrors),
	)
}

func chapter(about string, rules []Rule) []Rule {
	for i := range rules {
		rules[i].About = about
	}
	return rules
}

// shown is a rule with its rows.
func shown(text string, rows ...string) Rule { return Rule{Text: text, Rows: rows} }

// unshown is a rule without.
func unshown(text, why string) Rule { return Rule{Text: text, Unshown: why} }

var aboutReceiving = []Rule{
	shown("A receive asks for 1 to 10 messages, for 1 if it does not say.", "OneMessageIsTheDefault", "TenIsTheMost", "AskingForElevenIsRefused", "AskingForLessThanOneIsRefused"),
	shown("A poll ends as soon as there is at least one message; it does not wait for more.", "ALongPollDoesNotWaitToFillItsRequest"),
	shown("A long poll is woken by a send, a release, the end of a delay, and the end of a visibility timeout.",
		"ALongPollIsWokenByASend", "ALongPollIsWokenByARelease", "ALongPollIsWokenByTheEndOfADelay", "ALongPollIsWokenByTheEndOfAVisibilityTimeout"),
	shown("With nothing there, a short poll answers at once and a long one when its time is up, after at most 20 s.",
		"AnEmptyQueueGivesNothing", "AnEmptyLongPollTakesItsWholeTime", "WaitingLongerThanTwentySecondsIsRefused"),
	shown("A receive without a wait of its own waits as long as the queue says. The SDK for Go leaves zeros out, so it cannot ask for a short poll on a queue that waits.",
		"TheQueuesWaitTimeIsTheDefault", "TheReceivesWaitTimeOverridesTheQueues"),
	unshown("A short poll looks at some of the servers, and may miss messages; a receive may bring fewer than there are.",
		"the embedded queue is a single server: it misses nothing and fills each answer; with Servers and AnswerSize it misses and answers less"),
	unshown("A standard queue keeps the order of sending only roughly.", "the embedded queue keeps it, which is one of the orders that may be seen; with Servers or Disorder it does not"),
	unshown("A standard queue may deliver a message more than once, even without an expired timeout.", "it happens rarely; a fault makes the embedded queue do so"),
	shown("Each receive gives a handle of its own.", "EachReceiveGivesItsOwnHandle"),
	shown("Each receive raises ApproximateReceiveCount, across all queues a message has been in; the time of the first receive stays.",
		"TheReceiveCountGrows", "TheFirstReceivesTimeStays", "TheReceiveAfterTheLastMovesTheMessage"),
	shown("A message that is visible again may be ahead of newer ones.", "ARequeuedMessageCanBeAheadOfANewerOne"),
	shown("The body comes with its MD5, the message with the id that its sender was told, and times are in milliseconds.",
		"ABodyComesWithItsMD5", "TheSendAndTheReceiveTellTheSameID", "SentTimestampIsInMilliseconds"),
	shown("No more than 120,000 messages of a queue are in flight. Beyond that a standard queue refuses short polls with OverLimit; long polls just get nothing.",
		"AShortPollBeyondTheLimitIsRefused", "ALongPollBeyondTheLimitGetsNothing", "ADeleteBelowTheLimitWakesPolls"),
	shown("A FIFO queue has the same limit and never an error for it: receives get nothing.", "AFIFOQueueBeyondTheLimitGivesNothing"),
	shown("Retention goes on in flight: a message past it is gone, and its delete succeeds.", "AMessagePastItsRetentionIsGone", "RetentionEndsInFlightToo"),
}

var aboutFilters = []Rule{
	shown("A receive that asks for no attributes gets none.", "NothingAskedMeansNoAttributes"),
	shown("System attributes are asked for by name, or All of them; the deprecated list adds to its successor.",
		"AllSystemAttributesOfAStandardMessage", "AllSystemAttributesOfAFIFOMessage", "OnlyTheAskedSystemAttributesCome", "TheDeprecatedNamesAreUnited", "ATraceHeaderComesBack"),
	shown("The header X-Amzn-Trace-Id of a send is the trace header of those of its messages that have none of their own.",
		"ACallsTraceHeaderIsThatOfItsMessages", "AMessagesOwnTraceHeaderWins"),
	shown("Message attributes are asked for by `All`, `*`, `.*`, a name, or a prefix.",
		"AllGivesEveryAttribute", "StarGivesEveryAttribute", "DotStarGivesEveryAttribute", "ANameGivesItsAttributeAndItsMD5", "APrefixGivesWhatItBegins", "APrefixMayHaveDots"),
	shown("MD5OfMessageAttributes covers what is returned, and is missing when that is nothing.", "NamesGiveASubsetAndItsMD5", "ANameGivesItsAttributeAndItsMD5", "AnUnknownNameGivesNothing"),
}

var aboutVisibility = []Rule{
	shown("A received message is hidden for the receive's timeout, or the queue's, which is 30 s if nobody set it; 0 hides nothing.",
		"AReceivedMessageIsHidden", "AMessageIsVisibleAgainAfterItsTimeout", "ThirtySecondsIsTheDefault", "TheReceivesTimeoutOverridesTheQueues", "AQueueTimeoutOfZeroHidesNothing"),
	shown("The timeout begins when the message is returned, not when the poll began.", "TheTimeoutBeginsWhenTheMessageIsReturned"),
	shown("A timeout is 0 to 43,200 s.", "HidingForMoreThanTwelveHoursIsRefused", "AChangeBeyondTwelveHoursIsRefused", "ANegativeChangeIsRefused"),
	shown("A change counts from its call, may shorten, and is forgotten at the next receive.", "AChangeCountsFromItsCall", "AChangeMayShorten", "AChangeIsForgottenAtTheNextReceive"),
	shown("A change to 0 releases the message and wakes polls.", "ZeroReleases", "ALongPollIsWokenByARelease", "AReleaseWakesPollsOfTheGroup"),
	shown("No change hides a message beyond 12 hours after its receive: it is refused, not clamped, and changes nothing. Extending does not begin the 12 hours anew.",
		"TheTwelveHoursCountFromTheReceive", "ExtendingNeverResetsTheTwelveHours", "ARefusedExtensionChangesNothing", "ABatchChangeBeyondTheTwelveHoursFailsAlone"),
	shown("On a standard queue a change with an expired handle succeeds.", "AnExpiredHandleMayChangeAStandardQueuesMessage"),
	shown("On a standard queue an older handle still works: it can release what somebody else has received since.", "AnOlderHandleReleasesALaterReceipt"),
	shown("A change of a deleted message, and one with a handle that is none, is refused.", "ADeletedMessageCannotChange", "GarbageCannotChange"),
	shown("On a FIFO queue a change with an expired handle is refused. That it is InvalidParameterValue is inferred from deletes.", "AnExpiredFIFOHandleCannotChange"),
	shown("Entries of a batch change alone, and fail alone.", "ABatchChangesEach", "ABatchChangeFailsAlone"),
}

var aboutDeleting = []Rule{
	shown("A deleted message is gone; deleting it again succeeds.", "ADeletedMessageIsGone", "DeletingTwiceSucceeds", "DeletingTwiceFromFIFOSucceeds"),
	shown("A handle that is none is refused.", "GarbageCannotDelete"),
	shown("On a standard queue an expired handle deletes, as long as nobody has received the message since.", "AnExpiredHandleDeletesFromAStandardQueue", "AReleasedMessageCanBeDeleted"),
	shown("On a standard queue a delete with the handle of an earlier receive succeeds, whether the message goes or not. In the embedded queue it stays, unless StaleDeletes is set.", "AnOldHandlesDeleteSucceeds"),
	shown("On a FIFO queue an expired handle is refused; one that was extended is not.", "AnExpiredFIFOHandleCannotDelete", "AnExtendedFIFOHandleDeletes", "AnExpiredFIFOHandleFailsAloneInABatch"),
	shown("Entries of a batch are deleted alone, and fail alone, in an answer of success.", "ABatchDeletesEach", "ABatchDeleteFailsAlone"),
	unshown("A standard queue may deliver a deleted message once more.", "it happens rarely; a fault makes the embedded queue do so"),
}

var aboutOrder = []Rule{
	shown("A group's messages come in the order of their sending.", "AGroupComesInOrder", "ABatchKeepsItsOrder", "SequenceNumbersHaveTwentyDigitsAndGrow"),
	shown("What can be received of a group is what stands before its first hidden message.",
		"AMessageInFlightLocksItsGroup", "TheFirstOfThreeExtendedHidesAll", "TheSecondOfThreeExtendedLeavesTheFirst", "TheThirdOfThreeExtendedLeavesTwo",
		"AHeadDeletedDoesNotFreeTheGroup", "AReleasedFollowerWaitsForItsHead"),
	shown("So two receivers can hold messages of one group, after one of them has released its first.", "AReleasedHeadComesWhileItsFollowerIsInFlight"),
	shown("A receive takes what it can of one group, then of the next; a group that was touched goes to the back.", "GroupsComeInOnePiece", "TouchedGroupsGoToTheBack", "OtherGroupsGoOn"),
	shown("The delete or release of what locks a group frees it at once, and wakes polls.", "TheLastDeleteFreesTheGroupAndWakesPolls", "AReleaseWakesPollsOfTheGroup"),
	shown("Messages whose timeouts have ended come again in their old order.", "AnExpiredGroupComesInItsOldOrder"),
	shown("Messages that wait behind a locked group count as visible.", "MessagesBehindALockedGroupCountAsVisible"),
	unshown("A FIFO queue takes 300 calls a second of each operation.", "the embedded queue has no such limit"),
}

var aboutFIFO = []Rule{
	shown("A duplicate within five minutes of the first succeeds, is not delivered, and is answered with the first's id.",
		"ADuplicateSucceedsAndIsNotDelivered", "ADuplicateIsAnsweredWithTheFirstsID", "DuplicatesAreForgottenAfterFiveMinutes"),
	shown("Duplicates are known after the delete of the first, and forgotten by a purge.", "ADuplicateOfADeletedMessageIsNotDelivered", "APurgeForgetsDuplicates"),
	shown("An id holds in the whole queue, or in its group, as DeduplicationScope says.", "ADeduplicationIDHoldsAcrossGroups", "ADeduplicationScopeOfOneGroup"),
	shown("Content-based ids are the SHA-256 of the body alone; an explicit id overrides them.", "ContentIsTheBodyOnly", "ContentsAreToldAsSHA256", "AnExplicitIDOverridesTheContents"),
	shown("A send needs a group, and a deduplication id unless the queue makes them; a batch in which one is missing fails as a whole.",
		"AFIFOSendNeedsAGroup", "AFIFOSendNeedsADeduplicationID", "ABatchWithoutAGroupFailsAsAWhole", "ABatchWithoutADeduplicationIDFailsAsAWhole"),
	shown("Ids have 1 to 128 letters, digits and punctuation characters.",
		"IDsMayHavePunctuation", "ALongGroupIDIsRefused", "AGroupIDWithASpaceIsRefused", "ALongDeduplicationIDIsRefused", "ADeduplicationIDWithASpaceIsRefused", "ALongAttemptIDIsRefused"),
	shown("A message of a FIFO queue has no delay of its own.", "AFIFOMessageHasNoDelayOfItsOwn"),
	shown("Sequence numbers have 20 digits and grow; standard queues have none.", "SequenceNumbersHaveTwentyDigitsAndGrow", "AStandardQueueDoesNotNumber"),
	shown("A receive under the same ReceiveRequestAttemptId brings the same messages and handles, hidden anew, until one of them is deleted or changed, for five minutes.",
		"TheSameAttemptBringsTheSameReceipts", "TheSameAttemptHidesAnew", "AnotherAttemptBringsNothingOfALockedGroup", "ADeletedMessageEndsItsAttempt", "AnAttemptIsForgottenAfterFiveMinutes"),
}

var aboutRedrive = []Rule{
	shown("A message is delivered maxReceiveCount times; the receive after that moves it instead, and may be empty. A release counts as much as a failure.",
		"AMessageIsDeliveredAsOftenAsAllowed", "TheReceiveAfterTheLastMovesTheMessage", "TheReceiveThatMovesBringsTheNext"),
	shown("The move is made by a receive, not at the end of the timeout.", "TheMoveIsNotMadeAtTheEndOfTheTimeout"),
	shown("A moved message keeps its id, attributes, trace header and, on standard queues, its time of sending; the dead-letter queue tells its source.",
		"AMovedMessageStaysWhatItWas", "TheReceiveAfterTheLastMovesTheMessage"),
	shown("So in a standard dead-letter queue retention counts from the first send; in a FIFO one it begins with the move.",
		"AStandardQueuesDeadLettersAgeFromTheirSend", "AFIFOQueuesDeadLettersAgeFromTheirMove"),
	shown("On a FIFO queue the group goes on after the move, and the deduplication id becomes the message id.", "AFIFOGroupGoesOnAfterAMove", "AMovedFIFOMessagesDeduplicationIDIsItsMessageID"),
	shown("A policy is JSON with a target that exists and is of the same kind, and a count; an empty one turns it off.",
		"ARedrivePolicyIsJSON", "ARedrivePolicyNeedsACount", "ARedrivePolicyNeedsATarget", "ACountIsOneToAThousand", "TheDeadLetterQueueMustExist", "AFIFOQueuesDeadLettersAreFIFO", "AnEmptyRedrivePolicyTurnsItOff"),
	shown("A policy is told as JSON without spaces and its count as a number, however it was written.", "ACountInTextIsToldAsANumber", "TheSamePolicyIsTheSameHoweverItIsWritten"),
	shown("A dead-letter queue knows its sources.", "ADeadLetterQueueKnowsItsSources"),
}

var aboutMoves = []Rule{
	shown("A task moves a dead-letter queue's messages back to where they came from, or to a destination.", "AMoveBringsMessagesBack", "AMoveHasADestination"),
	shown("A message moved back is a new one: another id, another time of sending, its whole retention.", "AMovedBackMessageIsANewOne", "AMovedBackMessagesRetentionBeginsAnew"),
	shown("The source must be the dead-letter queue of some queue, and source and destination must exist.", "AMoveNeedsADeadLetterQueue", "AMovesSourceMustExist", "AMovesDestinationMustExist"),
	shown("A source has one task at a time; its handle is listed while it runs.", "ASourceHasOneMoveAtATime", "ARunningMoveIsListedWithItsHandle", "AMoveBringsMessagesBack"),
	shown("A task has a rate of 1 to 500 messages a second, can be cancelled, and fails when its destination is deleted.",
		"ASlowMoveKeepsItsRate", "AMoveRateOfZeroIsRefused", "AMoveRateAboveFiveHundredIsRefused", "AMoveCanBeCancelled", "AnUnknownMoveCannotBeCancelled", "ADestinationDeletedFailsTheMove"),
}

var aboutSending = []Rule{
	shown("A send is answered with the MD5 of the body, of the message attributes, and of the system attributes by itself.",
		"ASendTellsTheBodysMD5", "ASendTellsTheAttributesMD5", "SystemAttributesHaveTheirOwnMD5"),
	shown("A body has at least one character, all of them tab, line feed, carriage return, U+0020 to U+D7FF, U+E000 to U+FFFD, or beyond U+FFFF. It stays as it is.",
		"AnEmptyBodyIsRefused", "AControlCharacterIsRefused", "ANoncharacterIsRefused", "LineEndsAndTabsAreKept", "AnyScriptIsKept", "TheEdgesOfWhatIsAllowedAreKept"),
	shown("A message has at most 1,048,576 bytes, and so has a batch; message attributes count, system attributes do not.",
		"OneMebibyteIsAccepted", "MoreThanOneMebibyteIsRefused", "AttributesCountAsSize", "SystemAttributesDoNotCountAsSize", "ABatchOfMoreThanOneMebibyteIsRefused"),
	shown("A queue's own maximum holds for each message, not for the sum of a batch; an entry beyond it fails alone.",
		"TheQueuesMaximumSizeHolds", "ABatchEntryBeyondTheQueuesMaximumFailsAlone", "TheQueuesMaximumDoesNotLimitTheWholeBatch"),
	shown("A number has up to 38 digits, without the zeros at either end, and is 0 or from 10^-128 to 10^126 in size.", "NumbersOfThirtyEightDigitsAreAccepted", "NumbersOutOfRangeAreRefused"),
	shown("A message has at most ten attributes, of type String, Number or Binary, with or without a label, and none of them empty.",
		"EveryTypeOfAttributeComesBack", "TenAttributesAreAccepted", "ElevenAttributesIsRefused", "AnEmptyAttributeIsRefused", "AnUnknownAttributeTypeIsRefused"),
	shown("An attribute's name has up to 256 letters, digits, hyphens, underscores and single dots within, and does not begin with AWS. or Amazon.",
		"AnAttributeNameOfTwoHundredAndFiftySixIsAccepted", "AnAttributeNameMayHaveAnyLetters", "ALongAttributeNameIsRefused", "AnAttributeNamedAWSIsRefused", "AnAttributeNamedAmazonIsRefused",
		"AnAttributeNameThatBeginsWithADotIsRefused", "AnAttributeNameThatEndsWithADotIsRefused", "AnAttributeNameWithTwoDotsIsRefused", "AnAttributeNameWithASpaceIsRefused"),
	shown("A delay is 0 to 900 s, the queue's if the message has none.",
		"ADelayedMessageComesLater", "TheQueuesDelayIsTheDefault", "AMessagesDelayOverridesTheQueues", "ABatchEntryHasItsOwnDelay", "ADelayOfMoreThanFifteenMinutesIsRefused", "ANegativeDelayIsRefused"),
	shown("A queue's new delay is for new messages on a standard queue, and for all on a FIFO queue.", "AStandardQueuesNewDelayIsForNewMessages", "AFIFOQueuesNewDelayIsForAllMessages"),
}

var aboutBatches = []Rule{
	shown("A batch has 1 to 10 entries; their number is looked at before their ids.", "Refuses/"),
	shown("Entries' ids are distinct, of 1 to 80 letters, digits, hyphens and underscores.", "Refuses/", "AnIDOfEightyCharactersIsAccepted/"),
	shown("A batch of sends tells of each entry; one that is not valid fails alone.", "ABatchTellsOfEach", "ABatchEntryWithABadBodyFailsAlone", "ABatchEntryWithABadAttributeFailsAlone"),
	shown("An answer of success may have failures, and tells whose fault each was.", "AnEntryMayFailByTheServicesFault", "AnEntryMayBeThrottled", "ABatchDeleteFailsAlone"),
}

var aboutFairness = []Rule{
	shown("A standard queue takes a group with a message, tells it to receivers, and neither orders nor locks by it.", "AGroupIDComesBackFromAStandardQueue", "AGroupDoesNotLockAStandardQueue"),
	shown("A group is a tenant. One that holds 30 messages or more, and more than a tenth of what is in flight, is noisy: others go first.",
		"QuietTenantsGoBeforeANoisyOne", "TwentyNineInFlightAreNoNoise", "ATenthOfWhatIsInFlightIsNoNoise", "ANoisyTenantIsNotLimited"),
	shown("Of noisy tenants the one with the fewest messages in flight goes first.", "OfNoisyTenantsTheOneWithTheFewestInFlightGoesFirst"),
	shown("A tenant is noisy until its backlog is gone, or it has sent nothing for five minutes.", "ANoisyTenantIsNoisyUntilItsBacklogIsGone", "FiveMinutesWithoutASendEndNoise"),
	shown("A message without a group is a tenant by itself.", "MessagesWithoutAGroupAreTenantsEach"),
	unshown("A tenant that takes more than a tenth of the consumers' recent time is noisy too.", "how recent is not documented; the embedded queue judges by what is in flight alone"),
}

var aboutQueues = []Rule{
	shown("A name has up to 80 letters, digits, hyphens and underscores; .fifo stands at the end of a FIFO queue's, and of no other's.",
		"ANameOfEightyCharactersIsAccepted", "ALongNameIsRefused", "AnIllegalNameIsRefused", "ADotOutsideTheSuffixIsRefused", "AFIFOQueueNeedsTheSuffix", "TheSuffixNeedsAFIFOQueue"),
	shown("A new queue has the documented defaults.", "ANewQueuesAttributes", "ANewFIFOQueuesAttributes", "CreatedTimestampIsInSeconds", "AnARNEndsWithTheName"),
	shown("Creating a queue again succeeds with the same attributes or none, and is refused with others.", "CreatingAgainGivesTheSameQueue", "CreatingOtherwiseIsRefused"),
	shown("A deleted queue is gone with its messages; its name is free after a minute.",
		"ADeletedQueueIsGone", "ADeletedQueueEndsItsPolls", "ADeletedQueueCannotBeMadeAnewAtOnce", "ADeletedQueueCanBeMadeAnewAfterAMinute"),
	shown("Attributes have bounds, and names that are known.",
		"Limits/", "AnUnknownAttributeCannotBeRead", "AnUnknownAttributeCannotBeSet", "AnUnknownAttributeCannotBeCreated", "AStandardQueueHasNoFIFOAttributes", "ChangedAttributesAreTold"),
	shown("Flags are taken in any case and told in lower case; numbers are told in digits.", "FlagsMayBeCapitalised", "AFlagIsTrueOrFalse", "NumbersAreToldAsNumbers"),
	shown("A queue's type is decided when it is made.", "AStandardQueueCannotBecomeFIFO", "AFIFOQueueCannotBecomeStandard"),
	unshown("A changed attribute holds after up to a minute, a changed retention after up to 15.", "in the embedded queue it holds at once"),
	shown("Regions share nothing: a queue is found in its own alone, and its ARN tells it.",
		"AnARNTellsItsRegion", "RegionsShareNothing", "AQueueIsFoundInItsRegionOnly"),
	shown("A dead-letter queue is in the region of its source.", "ADeadLetterQueueOfTheOwnRegionIsFound", "ADeadLetterQueueOfAnotherRegionIsRefused"),
	shown("Three counters tell where messages are.", "ThreeCountersTellWhereMessagesAre"),
	unshown("The counters are approximate for up to a minute.", "those of the embedded queue are exact"),
	shown("A purge takes what is in flight or delayed too, and is allowed once a minute.", "APurgeTakesAllMessages", "PurgesAreAMinuteApart", "ASecondPurgeAtOnceIsRefused"),
	shown("A permission is a statement of the queue's policy, found by its label.", "APermissionBecomesAPolicy"),
	shown("Queues are found by name and by prefix, in pages, and have tags.",
		"AQueueIsFoundByItsName", "QueuesAreListedByPrefix", "QueuesAreListedInPages", "TagsAreKept", "AQueueIsCreatedWithTags"),
}

var aboutErrors = []Rule{
	shown("Every operation on a queue that does not exist says so in the same way.", "AMissingQueue/"),
	shown("Errors that no call provokes arrive with their code, status and, where the service models them, type: throttling, the service's failures, credentials, keys of KMS, limits.", "AFailure/"),
	unshown("A message may be changed that is not in flight, and MessageNotInflight is the modelled error for it.",
		"no recording shows it; the embedded queue answers as recorded, and MessageNotInflight can be injected"),
}
