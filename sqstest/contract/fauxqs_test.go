package contract_test

// fauxqsDeviations are the rows that fauxqs 2.4.1 does not keep. In all of them the row has a source
// and fauxqs is simpler than the service.
func fauxqsDeviations() map[string]string {
	return byRow(map[string][]string{
		"every code begins with AWS.SimpleQueueService": {
			"Limits/VisibilityTimeout", "Limits/MessageRetentionPeriod", "Limits/ReceiveMessageWaitTimeSeconds", "Limits/DelaySeconds",
			"Limits/MaximumMessageSize", "AnUnknownAttributeCannotBeSet", "AFIFOQueueNeedsTheSuffix", "CreatingOtherwiseIsRefused",
			"AFIFOSendNeedsADeduplicationID", "AFIFOSendNeedsAGroup", "AFIFOMessageHasNoDelayOfItsOwn", "TheQueuesMaximumSizeHolds",
			"AttributesCountAsSize", "MoreThanOneMebibyteIsRefused", "ANoncharacterIsRefused", "AControlCharacterIsRefused",
			"AnEmptyBodyIsRefused", "ANegativeChangeIsRefused", "AChangeBeyondTwelveHoursIsRefused", "HidingForMoreThanTwelveHoursIsRefused",
			"WaitingLongerThanTwentySecondsIsRefused", "AskingForLessThanOneIsRefused", "AskingForElevenIsRefused",
		},
		"there is no ListDeadLetterSourceQueues":            {"AMissingQueue/ListDeadLetterSourceQueues", "ADeadLetterQueueKnowsItsSources"},
		"a queue can be made anew, and purged, at any time": {"ADeletedQueueCannotBeMadeAnewAtOnce", "ASecondPurgeAtOnceIsRefused"},
		"attributes are not checked against the kind of the queue, or their names at all": {
			"AStandardQueueHasNoFIFOAttributes", "AnUnknownAttributeCannotBeCreated", "AnUnknownAttributeCannotBeRead",
			"AFIFOQueueCannotBecomeStandard", "AStandardQueueCannotBecomeFIFO",
		},
		"attributes of queues are kept and told as they were written": {
			"AFlagIsTrueOrFalse", "FlagsMayBeCapitalised", "NumbersAreToldAsNumbers", "ACountInTextIsToldAsANumber",
			"TheSamePolicyIsTheSameHoweverItIsWritten",
		},
		"there are no permissions": {"APermissionBecomesAPolicy"},
		"names of queues are free": {"TheSuffixNeedsAFIFOQueue", "ADotOutsideTheSuffixIsRefused", "AnIllegalNameIsRefused", "ALongNameIsRefused"},
		"there are no message move tasks": {
			"AMoveBringsMessagesBack", "AMovedBackMessageIsANewOne", "AMoveHasADestination", "AMoveNeedsADeadLetterQueue", "AMovesDestinationMustExist",
			"AMovesSourceMustExist", "ASourceHasOneMoveAtATime", "ARunningMoveIsListedWithItsHandle", "AnUnknownMoveCannotBeCancelled",
			"AMoveRateOfZeroIsRefused", "AMoveRateAboveFiveHundredIsRefused",
		},
		"redrive policies are not validated":          {"ARedrivePolicyNeedsACount", "ARedrivePolicyIsJSON", "TheDeadLetterQueueMustExist", "AFIFOQueuesDeadLettersAreFIFO", "ARedrivePolicyNeedsATarget", "ACountIsOneToAThousand", "ADeadLetterQueueOfAnotherRegionIsRefused"},
		"the deduplication id stays on a move":        {"AMovedFIFOMessagesDeduplicationIDIsItsMessageID"},
		"trace headers are dropped":                   {"AMovedMessageStaysWhatItWas", "ATraceHeaderComesBack", "ACallsTraceHeaderIsThatOfItsMessages", "AMessagesOwnTraceHeaderWins", "SystemAttributesHaveTheirOwnMD5"},
		"the move counts as a receive of its own":     {"TheReceiveAfterTheLastMovesTheMessage"},
		"the end of a timeout is noticed by receives": {"TheMoveIsNotMadeAtTheEndOfTheTimeout"},
		"ReceiveRequestAttemptId is ignored":          {"TheSameAttemptBringsTheSameReceipts", "TheSameAttemptHidesAnew", "ALongAttemptIDIsRefused"},
		"group and deduplication ids are free":        {"ALongGroupIDIsRefused", "AGroupIDWithASpaceIsRefused", "ALongDeduplicationIDIsRefused", "ADeduplicationIDWithASpaceIsRefused"},
		"DeduplicationScope is ignored":               {"ADeduplicationScopeOfOneGroup"},
		"a purge remembers deduplication ids":         {"APurgeForgetsDuplicates"},
		"a FIFO queue's delay is not retroactive":     {"AFIFOQueuesNewDelayIsForAllMessages"},
		"a receive has at most one message of each group": {
			"ABatchKeepsItsOrder", "AnExplicitIDOverridesTheContents", "ContentIsTheBodyOnly", "MessagesBehindALockedGroupCountAsVisible",
			"AnExpiredGroupComesInItsOldOrder", "AReleasedFollowerWaitsForItsHead", "AReleasedHeadComesWhileItsFollowerIsInFlight",
			"AHeadDeletedDoesNotFreeTheGroup", "TheThirdOfThreeExtendedLeavesTwo", "TheSecondOfThreeExtendedLeavesTheFirst",
			"TheFirstOfThreeExtendedHidesAll", "GroupsComeInOnePiece", "AGroupComesInOrder",
		},
		"an entry never fails alone": {
			"ABatchEntryWithABadAttributeFailsAlone", "ABatchDeleteFailsAlone", "AnExpiredFIFOHandleFailsAloneInABatch", "ABatchChangeBeyondTheTwelveHoursFailsAlone",
		},
		"without group or deduplication id an entry fails alone": {"ABatchWithoutADeduplicationIDFailsAsAWhole", "ABatchWithoutAGroupFailsAsAWhole"},
		"a message's delay is not validated":                     {"ANegativeDelayIsRefused", "ADelayOfMoreThanFifteenMinutesIsRefused"},
		"message attributes are not validated": {
			"ElevenAttributesIsRefused", "AnAttributeNamedAWSIsRefused", "AnAttributeNamedAmazonIsRefused", "AnAttributeNameThatBeginsWithADotIsRefused",
			"AnAttributeNameThatEndsWithADotIsRefused", "AnAttributeNameWithTwoDotsIsRefused", "AnAttributeNameWithASpaceIsRefused",
			"ALongAttributeNameIsRefused", "AnEmptyAttributeIsRefused", "AnUnknownAttributeTypeIsRefused", "NumbersOutOfRangeAreRefused",
		},
		"characters beyond the basic plane are refused": {"AnyScriptIsKept", "TheEdgesOfWhatIsAllowedAreKept"},
		"messages of batch errors tell less": {
			"ABatchOfMoreThanOneMebibyteIsRefused",
			"Refuses/SendMessageBatch/ARepeatedID", "Refuses/SendMessageBatch/TooManyBeforeItLooksAtIDs", "Refuses/SendMessageBatch/TwentyEntries",
			"Refuses/DeleteMessageBatch/ARepeatedID", "Refuses/DeleteMessageBatch/TooManyBeforeItLooksAtIDs", "Refuses/DeleteMessageBatch/TwentyEntries",
			"Refuses/ChangeMessageVisibilityBatch/ARepeatedID", "Refuses/ChangeMessageVisibilityBatch/TooManyBeforeItLooksAtIDs",
			"Refuses/ChangeMessageVisibilityBatch/TwentyEntries",
		},
		"ids of entries may be long": {"Refuses/SendMessageBatch/ALongID", "Refuses/DeleteMessageBatch/ALongID", "Refuses/ChangeMessageVisibilityBatch/ALongID"},
		"a delete with a handle it does not know does nothing": {
			"GarbageCannotDelete", "AReleasedMessageCanBeDeleted", "AnExpiredFIFOHandleCannotDelete",
		},
		"a handle it does not know is not in flight": {"GarbageCannotChange", "ADeletedMessageCannotChange", "AnOlderHandleReleasesALaterReceipt"},
		"handles of FIFO queues do not expire":       {"AnExpiredFIFOHandleCannotChange"},
		"visibility has no limit of twelve hours":    {"TheTwelveHoursCountFromTheReceive", "ARefusedExtensionChangesNothing"},
		"message attributes are not selected by name": {
			"APrefixGivesWhatItBegins", "NamesGiveASubsetAndItsMD5", "ANameGivesItsAttributeAndItsMD5", "StarGivesEveryAttribute", "NothingAskedMeansNoAttributes",
		},
		"a queue's URL finds it from every region": {"AQueueIsFoundInItsRegionOnly"},
		"standard queues have no groups": {
			"AGroupIDComesBackFromAStandardQueue", "ANoisyTenantIsNoisyUntilItsBacklogIsGone", "ATenthOfWhatIsInFlightIsNoNoise",
			"OfNoisyTenantsTheOneWithTheFewestInFlightGoesFirst", "QuietTenantsGoBeforeANoisyOne",
		},
	})
}
