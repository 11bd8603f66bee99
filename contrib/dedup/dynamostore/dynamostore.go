// Package dynamostore is a store of package dedup in a DynamoDB table.
//
//	store := dynamostore.New(dynamodb.NewFromConfig(cfg), "idempotency")
//
// The table is laid out as that of Powertools for AWS Lambda, so both may use one table:
//
//	id                      partition key, a string
//	status                  INPROGRESS or COMPLETED
//	expiration              Unix time in seconds; the attribute of the table's time to live
//	in_progress_expiration  Unix time in milliseconds, of INPROGRESS
//	sluice_owner            who has claimed the key or marked it
//
//	aws dynamodb create-table --table-name idempotency --billing-mode PAY_PER_REQUEST \
//		--attribute-definitions AttributeName=id,AttributeType=S --key-schema AttributeName=id,KeyType=HASH
//	aws dynamodb update-time-to-live --table-name idempotency \
//		--time-to-live-specification Enabled=true,AttributeName=expiration
//
// A program needs dynamodb:PutItem, dynamodb:UpdateItem and dynamodb:DeleteItem on the table. The time
// to live only cleans up. Whether a record has expired is decided when it is asked for.
//
// DynamoDB has no clock to ask, so the machine's clock counts. If clocks differ by more than half of
// [dedup.Options.TTL], a claim may be taken over while its handler runs.
package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sluice-go/sluice/contrib/dedup"
)

// A Client makes the calls to DynamoDB. [*dynamodb.Client] is one.
type Client interface {
	PutItem(ctx context.Context, in *dynamodb.PutItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, optFns ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// A Store is a [dedup.Store].
type Store struct {
	client Client
	table  string
	now    func() time.Time
}

// New returns a Store in a table, which must exist.
func New(client Client, table string) *Store {
	return &Store{client: client, table: table, now: time.Now}
}

// Attributes and values, as Powertools names them. The owner is ours.
const (
	attrID      = "id"
	attrStatus  = "status"
	attrExpires = "expiration"
	attrClaim   = "in_progress_expiration"
	attrOwner   = "sluice_owner"

	inProgress = "INPROGRESS"
	completed  = "COMPLETED"
)

// names are those of the attributes in expressions: status is a reserved word.
var names = map[string]string{"#id": attrID, "#status": attrStatus, "#expires": attrExpires, "#claim": attrClaim, "#owner": attrOwner}

// using returns the names that an expression uses: DynamoDB rejects others.
func using(keys ...string) map[string]string {
	used := map[string]string{}
	for _, key := range keys {
		used[key] = names[key]
	}
	return used
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// seconds returns t as the time to live counts, not before t.
func seconds(t time.Time) types.AttributeValue { return number(t.Unix() + 1) }
func millis(t time.Time) types.AttributeValue  { return number(t.UnixMilli()) }

// Claim implements [dedup.Store].
func (s *Store) Claim(ctx context.Context, key, owner string, ttl time.Duration) (dedup.Claim, error) {
	now := s.now()
	until := now.Add(ttl)
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.table,
		Item: map[string]types.AttributeValue{
			attrID: text(key), attrStatus: text(inProgress), attrOwner: text(owner), attrExpires: seconds(until), attrClaim: millis(until),
		},
		ConditionExpression: new("attribute_not_exists(#id) OR #expires < :now OR " +
			"(#status = :inprogress AND attribute_exists(#claim) AND #claim < :nowms) OR (#status = :inprogress AND #owner = :owner)"),
		ExpressionAttributeNames: using("#id", "#expires", "#status", "#claim", "#owner"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":now": number(now.Unix()), ":nowms": millis(now), ":inprogress": text(inProgress), ":owner": text(owner),
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err == nil {
		return dedup.Claim{State: dedup.StateClaimed}, nil
	}
	refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		return dedup.Claim{}, fmt.Errorf("dynamostore: claiming in %s: %w", s.table, err)
	}
	return s.found(refused.Item, now, ttl)
}

// found returns what an item that is there says of its key.
func (s *Store) found(item map[string]types.AttributeValue, now time.Time, ttl time.Duration) (dedup.Claim, error) {
	status, _ := item[attrStatus].(*types.AttributeValueMemberS)
	switch {
	case status == nil:
		return dedup.Claim{}, fmt.Errorf("dynamostore: claiming in %s: the item that is there has no %s", s.table, attrStatus)
	case status.Value == completed:
		return dedup.Claim{State: dedup.StateHandled}, nil
	}
	left := ttl // of a claim of Powertools that says nothing
	if n, _ := item[attrClaim].(*types.AttributeValueMemberN); n != nil {
		if ms, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			left = max(time.Millisecond, time.UnixMilli(ms).Sub(now))
		}
	}
	return dedup.Claim{State: dedup.StateBusy, Left: left}, nil
}

// Extend implements [dedup.Store].
func (s *Store) Extend(ctx context.Context, key, owner string, ttl time.Duration) error {
	until := s.now().Add(ttl)
	_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: keyOf(key),
		UpdateExpression:         new("SET #expires = :expires, #claim = :claim"),
		ConditionExpression:      new("#status = :inprogress AND #owner = :owner"),
		ExpressionAttributeNames: using("#expires", "#claim", "#status", "#owner"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":expires": seconds(until), ":claim": millis(until), ":inprogress": text(inProgress), ":owner": text(owner),
		},
	})
	return s.fenced("extending a claim", err)
}

// Done implements [dedup.Store].
func (s *Store) Done(ctx context.Context, key, owner string, keep time.Duration) error {
	_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: keyOf(key),
		UpdateExpression:         new("SET #status = :completed, #expires = :expires, #owner = :owner REMOVE #claim"),
		ConditionExpression:      new("attribute_not_exists(#id) OR #owner = :owner"),
		ExpressionAttributeNames: using("#id", "#status", "#expires", "#owner", "#claim"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":completed": text(completed), ":expires": seconds(s.now().Add(keep)), ":owner": text(owner),
		},
	})
	return s.fenced("marking a key", err)
}

// Release implements [dedup.Store].
func (s *Store) Release(ctx context.Context, key, owner string) error {
	_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.table, Key: keyOf(key),
		ConditionExpression:       new("#status = :inprogress AND #owner = :owner"),
		ExpressionAttributeNames:  using("#status", "#owner"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":inprogress": text(inProgress), ":owner": text(owner)},
	})
	if err = s.fenced("releasing a claim", err); errors.Is(err, dedup.ErrLost) {
		return nil
	}
	return err
}

func keyOf(key string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{attrID: text(key)}
}

// fenced returns ErrLost if a condition was not met, which is that the key is the owner's.
func (s *Store) fenced(what string, err error) error {
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return dedup.ErrLost
	}
	if err != nil {
		return fmt.Errorf("dynamostore: %s in %s: %w", what, s.table, err)
	}
	return nil
}
