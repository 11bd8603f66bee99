package contract_test

// motoDeviations are the rows that moto 5.2 does not keep. In all of them the row has a source and
// moto is simpler than the service.
func motoDeviations() map[string]string {
	return byRow(map[string][]string{
		"ChangeMessageVisibilityBatch is not validated": {
			"Refuses/ChangeMessageVisibilityBatch/NoEntries", "Refuses/ChangeMessageVisibilityBatch/TwentyEntries",
			"Refuses/ChangeMessageVisibilityBatch/TooManyBeforeItLooksAtIDs", "Refuses/ChangeMessageVisibilityBatch/ARepeatedID",
			"Refuses/ChangeMessageVisibilityBatch/AnIllegalID", "Refuses/ChangeMessageVisibilityBatch/ALongID",
		},
		"a DeleteMessageBatch is checked for repeated ids only": {
			"Refuses/DeleteMessageBatch/TwentyEntries", "Refuses/DeleteMessageBatch/TooManyBeforeItLooksAtIDs",
			"Refuses/DeleteMessageBatch/AnIllegalID", "Refuses/DeleteMessageBatch/ALongID",
		},
		"ids are checked before the number of entries": {"Refuses/SendMessageBatch/TooManyBeforeItLooksAtIDs"},
		"an entry never fails alone": {
			"ABatchEntryWithABadBodyFailsAlone", "ABatchEntryWithABadAttributeFailsAlone", "ABatchEntryBeyondTheQueuesMaximumFailsAlone",
			"ABatchChangeBeyondTheTwelveHoursFailsAlone", "AnExpiredFIFOHandleFailsAloneInABatch",
		},
		"bodies are not validated": {"AnEmptyBodyIsRefused", "AControlCharacterIsRefused", "ANoncharacterIsRefused"},
		"message attributes are not validated": {
			"ElevenAttributesIsRefused", "AnAttributeNamedAWSIsRefused", "AnAttributeNamedAmazonIsRefused", "AnAttributeNameThatBeginsWithADotIsRefused",
			"AnAttributeNameThatEndsWithADotIsRefused", "AnAttributeNameWithTwoDotsIsRefused", "ALongAttributeNameIsRefused", "AnEmptyAttributeIsRefused",
			"NumbersOutOfRangeAreRefused",
		},
		"names of message attributes are ASCII":    {"AnAttributeNameMayHaveAnyLetters"},
		"a policy is told with spaces":             {"ACountInTextIsToldAsANumber"},
		"a permission's policy is of 2012":         {"APermissionBecomesAPolicy"},
		"a count that is no number is its failure": {"ACountIsOneToAThousand"},
		"the type of a queue can be changed":       {"AStandardQueueCannotBecomeFIFO", "AFIFOQueueCannotBecomeStandard"},
		"attributes do not count as size":          {"AttributesCountAsSize"},
		"system attributes have no MD5":            {"SystemAttributesHaveTheirOwnMD5"},
		"headers of a trace are ignored":           {"ACallsTraceHeaderIsThatOfItsMessages"},
		"* is not a filter":                        {"StarGivesEveryAttribute"},
		"group and deduplication ids are free":     {"ALongGroupIDIsRefused", "AGroupIDWithASpaceIsRefused", "ALongDeduplicationIDIsRefused", "ADeduplicationIDWithASpaceIsRefused"},
		"a batch names the missing parameter":      {"ABatchWithoutAGroupFailsAsAWhole"},
		"negative numbers are accepted":            {"ANegativeChangeIsRefused", "ANegativeDelayIsRefused"},
		"messages of errors are its own":           {"AskingForElevenIsRefused", "GarbageCannotChange", "GarbageCannotDelete", "HidingForMoreThanTwelveHoursIsRefused", "AChangeBeyondTwelveHoursIsRefused", "ARedrivePolicyNeedsACount"},
		"a deleted message's handle is invalid":    {"ADeletedMessageCannotChange", "APurgeTakesAllMessages"},
		"handles of FIFO queues do not expire":     {"AnExpiredFIFOHandleCannotChange", "AnExpiredFIFOHandleCannotDelete"},
		"queue attributes are not validated": {
			"Limits/VisibilityTimeout", "Limits/MessageRetentionPeriod", "Limits/ReceiveMessageWaitTimeSeconds", "Limits/DelaySeconds",
			"Limits/MaximumMessageSize", "AnUnknownAttributeCannotBeSet", "AnUnknownAttributeCannotBeCreated", "AStandardQueueHasNoFIFOAttributes",
			"TheSuffixNeedsAFIFOQueue", "AFlagIsTrueOrFalse",
		},
		"CreatedTimestamp is a fraction":                    {"CreatedTimestampIsInSeconds"},
		"MaxResults is ignored":                             {"QueuesAreListedInPages"},
		"a queue can be made anew, and purged, at any time": {"ADeletedQueueCannotBeMadeAnewAtOnce", "ASecondPurgeAtOnceIsRefused"},
		"redrive policies have their own errors":            {"TheDeadLetterQueueMustExist", "ARedrivePolicyNeedsATarget", "TheSamePolicyIsTheSameHoweverItIsWritten", "ADeadLetterQueueOfAnotherRegionIsRefused", "AFIFOQueuesDeadLettersAreFIFO", "ARedrivePolicyIsJSON"},
		"DeadLetterQueueSourceArn is not told":              {"TheReceiveAfterTheLastMovesTheMessage"},
		"the deduplication id stays on a move":              {"AMovedFIFOMessagesDeduplicationIDIsItsMessageID"},
		"there are no message move tasks": {
			"AMoveBringsMessagesBack", "AMovedBackMessageIsANewOne", "AMovesSourceMustExist", "AMoveHasADestination", "AMoveNeedsADeadLetterQueue", "AMovesDestinationMustExist", "ASourceHasOneMoveAtATime",
			"ARunningMoveIsListedWithItsHandle", "AnUnknownMoveCannotBeCancelled", "AMoveRateOfZeroIsRefused", "AMoveRateAboveFiveHundredIsRefused",
		},
		"duplicates are forgotten with the delete":       {"ADuplicateOfADeletedMessageIsNotDelivered"},
		"a duplicate has an id of its own":               {"ADuplicateIsAnsweredWithTheFirstsID"},
		"DeduplicationScope is ignored":                  {"ADeduplicationScopeOfOneGroup"},
		"sequence numbers are random":                    {"SequenceNumbersHaveTwentyDigitsAndGrow"},
		"a FIFO queue's delay is not retroactive":        {"AFIFOQueuesNewDelayIsForAllMessages"},
		"ReceiveRequestAttemptId is ignored":             {"TheSameAttemptBringsTheSameReceipts", "TheSameAttemptHidesAnew", "ALongAttemptIDIsRefused"},
		"groups are in the order of sends":               {"GroupsComeInOnePiece", "TouchedGroupsGoToTheBack"},
		"a group is locked while any of it is in flight": {"AReleasedHeadComesWhileItsFollowerIsInFlight", "TheSecondOfThreeExtendedLeavesTheFirst", "TheThirdOfThreeExtendedLeavesTwo"},
		"a group does not wake polls":                    {"TheLastDeleteFreesTheGroupAndWakesPolls", "AReleaseWakesPollsOfTheGroup"},
		"no tenant is noisy": {
			"ANoisyTenantIsNoisyUntilItsBacklogIsGone", "ATenthOfWhatIsInFlightIsNoNoise",
			"OfNoisyTenantsTheOneWithTheFewestInFlightGoesFirst", "QuietTenantsGoBeforeANoisyOne",
		},
		"messages of a group expire one after another": {"AnExpiredGroupComesInItsOldOrder"},
	})
}
