package contract_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest/contract"
)

// TestMotoKeepsTheContract holds the rows against a server written by others. It is a check of the
// rows: where moto differs, one of the two is wrong about SQS, and the list says which and why.
func TestMotoKeepsTheContract(t *testing.T) {
	if os.Getenv(envMoto) != "1" {
		t.Skipf("NOT CHECKED against moto, an independent server, which takes about a minute: set %s to 1", envMoto)
	}
	path, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("NOT CHECKED against moto, an independent server: there is no moto_server in PATH (pip install 'moto[server]')")
	}
	target := at("http://" + startMoto(t, path))
	target.Patience = 3 * time.Second
	target.Deviations = motoDeviations()
	contract.Run(t, target)
}

// startMoto runs the server until the test's end and returns its address.
func startMoto(t *testing.T, path string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)

	// Not the test's context: rows run in parallel, and clean up after it is done.
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	moto := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", port)
	require.NoError(t, moto.Start())
	t.Cleanup(func() {
		stop()
		_ = moto.Wait() // killed
	})
	dialer := net.Dialer{}
	require.Eventually(t, func() bool {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, time.Minute, 100*time.Millisecond, "moto does not listen on %s", addr)
	return addr
}

// motoDeviations are the rows that moto 5.2 does not keep. In all of them the row has a source and
// moto is simpler than the service.
func motoDeviations() map[string]string {
	all := map[string]string{}
	for reason, rows := range map[string][]string{
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
		},
		"attributes do not count as size":       {"AttributesCountAsSize"},
		"system attributes have no MD5":         {"SystemAttributesHaveTheirOwnMD5"},
		"* is not a filter":                     {"StarGivesEveryAttribute"},
		"group and deduplication ids are free":  {"ALongGroupIDIsRefused", "AGroupIDWithASpaceIsRefused", "ALongDeduplicationIDIsRefused", "ADeduplicationIDWithASpaceIsRefused"},
		"a batch names the missing parameter":   {"ABatchWithoutAGroupFailsAsAWhole"},
		"negative numbers are accepted":         {"ANegativeChangeIsRefused", "ANegativeDelayIsRefused"},
		"messages of errors are its own":        {"AskingForElevenIsRefused", "GarbageCannotChange", "GarbageCannotDelete", "HidingForMoreThanTwelveHoursIsRefused", "AChangeBeyondTwelveHoursIsRefused", "ARedrivePolicyNeedsACount"},
		"a deleted message's handle is invalid": {"ADeletedMessageCannotChange", "APurgeTakesAllMessages"},
		"handles of FIFO queues do not expire":  {"AnExpiredFIFOHandleCannotChange", "AnExpiredFIFOHandleCannotDelete"},
		"queue attributes are not validated": {
			"Limits/VisibilityTimeout", "Limits/MessageRetentionPeriod", "Limits/ReceiveMessageWaitTimeSeconds", "Limits/DelaySeconds",
			"Limits/MaximumMessageSize", "AnUnknownAttributeCannotBeSet", "AnUnknownAttributeCannotBeCreated", "AStandardQueueHasNoFIFOAttributes",
			"TheSuffixNeedsAFIFOQueue",
		},
		"CreatedTimestamp is a fraction":                    {"CreatedTimestampIsInSeconds"},
		"MaxResults is ignored":                             {"QueuesAreListedInPages"},
		"a queue can be made anew, and purged, at any time": {"ADeletedQueueCannotBeMadeAnewAtOnce", "ASecondPurgeAtOnceIsRefused"},
		"redrive policies have their own errors":            {"TheDeadLetterQueueMustExist", "AFIFOQueuesDeadLettersAreFIFO", "ARedrivePolicyIsJSON"},
		"DeadLetterQueueSourceArn is not told":              {"TheReceiveAfterTheLastMovesTheMessage"},
		"the deduplication id stays on a move":              {"AMovedFIFOMessagesDeduplicationIDIsItsMessageID"},
		"there are no message move tasks": {
			"AMoveBringsMessagesBack", "AMoveHasADestination", "AMoveNeedsADeadLetterQueue", "AMovesDestinationMustExist", "ASourceHasOneMoveAtATime",
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
		"messages of a group expire one after another":   {"AnExpiredGroupComesInItsOldOrder"},
	} {
		for _, name := range rows {
			all[name] = reason
		}
	}
	return all
}
