package sqstest

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// CreateQueue makes a queue, or answers the URL of the one there is when it has the attributes asked for.
func (s *Server) CreateQueue(ctx context.Context, in *sqs.CreateQueueInput, _ ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error) {
	return perform(ctx, s, opCreateQueue, queueNamed(in), in, func(in *sqs.CreateQueueInput, hit struck) (*sqs.CreateQueueOutput, error) {
		name := text(in.QueueName)
		fifo := isTrue(in.Attributes["FifoQueue"])
		if err := checkQueueName(name, fifo); err != nil {
			return nil, err
		}
		set, err := defaults(fifo).with(in.Attributes, fifo)
		if err != nil {
			return nil, err
		}
		key := queueKey{s.placeOf(ctx), name}
		if s.at(key) == nil {
			if err := s.checkRedrive(key, set); err != nil {
				return nil, err
			}
		}
		if !hit.noEffect() {
			err = s.create(key, set, in)
		}
		if err != nil {
			return nil, err
		}
		return &sqs.CreateQueueOutput{QueueUrl: new(s.urlOf(key))}, nil
	})
}

func queueNamed(in *sqs.CreateQueueInput) *string {
	if in == nil {
		return nil
	}
	return in.QueueName
}

func (s *Server) create(key queueKey, set settings, in *sqs.CreateQueueInput) error {
	if q := s.at(key); q != nil {
		return q.same(set, in.Attributes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[key] != nil {
		return nil // somebody was faster
	}
	now := time.Now().UnixNano()
	if at, ok := s.deleted[key]; ok && now < at+int64(recreateAfter) {
		return &types.QueueDeletedRecently{
			Message:           new("You must wait 60 seconds after deleting a queue before you can create another with the same name."),
			ErrorCodeOverride: new(legacyPrefix + "QueueDeletedRecently"),
		}
	}
	delete(s.deleted, key)
	s.numbered++
	q := newQueue(s, key, s.numbered, set, now)
	maps.Copy(q.tags, in.Tags)
	s.queues[key] = q
	s.accounts[key.account] = true
	return nil
}

// same reports whether q has these attributes already, which have become set.
func (q *queue) same(set settings, attributes map[string]string) error {
	now := q.lock()
	defer q.unlock(now)
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if q.raw[name] != set.raw[name] {
			return &types.QueueNameExists{
				Message:           new("A queue already exists with the same name and a different value for attribute " + name),
				ErrorCodeOverride: new("QueueAlreadyExists"),
			}
		}
	}
	return nil
}

func checkQueueName(name string, fifo bool) error {
	stem, suffixed := strings.CutSuffix(name, ".fifo")
	bad := stem == "" || len(name) > maxQueueName || strings.ContainsFunc(stem, func(r rune) bool { return !isWord(r) })
	switch {
	case fifo && (bad || !suffixed):
		return invalidParameter("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
	case bad || suffixed && !fifo:
		return invalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	return nil
}

// DeleteQueue removes a queue with all it has. Receives that wait on it end with QueueDoesNotExist, and its name cannot
// be used again for 60 seconds.
func (s *Server) DeleteQueue(ctx context.Context, in *sqs.DeleteQueueInput, _ ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error) {
	return perform(ctx, s, opDeleteQueue, queueURL(in), in, func(in *sqs.DeleteQueueInput, hit struck) (*sqs.DeleteQueueOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		if hit.noEffect() {
			q.unlock(now)
			return &sqs.DeleteQueueOutput{}, nil
		}
		q.gone = true
		q.dismiss(NoSuchQueue())
		q.reset()
		s.mu.Lock()
		delete(s.queues, q.queueKey)
		s.deleted[q.queueKey] = now
		s.past[q.label] = s.past[q.label].plus(q.stats)
		s.mu.Unlock()
		q.unlock(now)
		return &sqs.DeleteQueueOutput{}, nil
	})
}

// GetQueueUrl answers a queue's URL; QueueOwnerAWSAccountId says in which account it is.
func (s *Server) GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput, _ ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) { //nolint:revive // the SDK's name
	var name *string
	if in != nil {
		name = in.QueueName
	}
	return perform(ctx, s, opGetQueueURL, name, in, func(in *sqs.GetQueueUrlInput, _ struck) (*sqs.GetQueueUrlOutput, error) {
		if text(in.QueueName) == "" {
			return nil, missingParameter("QueueName")
		}
		from := s.placeOf(ctx)
		from.account = cmp.Or(text(in.QueueOwnerAWSAccountId), from.account)
		q := s.lookup(*in.QueueName, from)
		if q == nil || q.place != from {
			return nil, s.noSuchQueue(nameOf(*in.QueueName), from)
		}
		return &sqs.GetQueueUrlOutput{QueueUrl: new(s.urlOf(q.queueKey))}, nil
	})
}

// ListQueues answers the URLs of the region's queues by name, page by page when MaxResults is given.
func (s *Server) ListQueues(ctx context.Context, in *sqs.ListQueuesInput, _ ...func(*sqs.Options)) (*sqs.ListQueuesOutput, error) {
	return perform(ctx, s, opListQueues, nil, in, func(in *sqs.ListQueuesInput, _ struck) (*sqs.ListQueuesOutput, error) {
		from := s.placeOf(ctx)
		var names []string
		for _, q := range s.all() {
			if q.place == from && strings.HasPrefix(q.name, text(in.QueueNamePrefix)) {
				names = append(names, q.name)
			}
		}
		urls, next, err := s.page(from, names, in.MaxResults, in.NextToken)
		if err != nil {
			return nil, err
		}
		return &sqs.ListQueuesOutput{QueueUrls: urls, NextToken: next}, nil
	})
}

// ListDeadLetterSourceQueues answers the URLs of the queues whose dead-letter queue this is.
func (s *Server) ListDeadLetterSourceQueues(ctx context.Context, in *sqs.ListDeadLetterSourceQueuesInput, _ ...func(*sqs.Options)) (*sqs.ListDeadLetterSourceQueuesOutput, error) {
	return perform(ctx, s, opListDeadLetterSourceQueues, queueURL(in), in, func(in *sqs.ListDeadLetterSourceQueuesInput, _ struck) (*sqs.ListDeadLetterSourceQueuesOutput, error) {
		q, err := s.queueAt(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		urls, next, err := s.page(q.place, s.sourcesOf(q.arn), in.MaxResults, in.NextToken)
		if err != nil {
			return nil, err
		}
		return &sqs.ListDeadLetterSourceQueuesOutput{QueueUrls: urls, NextToken: next}, nil
	})
}

// sourcesOf names the queues whose RedrivePolicy points to arn.
func (s *Server) sourcesOf(arn string) (names []string) {
	for _, q := range s.all() {
		now := q.lock()
		if q.redrive != nil && q.redrive.target == arn {
			names = append(names, q.name)
		}
		q.unlock(now)
	}
	return names
}

// page cuts a list of names of queues that are in one place; a token is the last name before it. Without a limit there is one page and no token.
func (s *Server) page(at place, names []string, limit *int32, token *string) (urls []string, next *string, err error) {
	if limit != nil && (*limit < 1 || *limit > maxListed) {
		return nil, nil, invalidValue(*limit, "MaxResults", "MaxResults must be an integer between 1 and 1000.")
	}
	after, err := base64.RawURLEncoding.DecodeString(text(token))
	if err != nil {
		return nil, nil, invalidParameter("Invalid or expired next token.")
	}
	n := maxListed
	if limit != nil {
		n = int(*limit)
	}
	for _, name := range names {
		if token != nil && name <= string(after) {
			continue
		}
		if len(urls) == n {
			if limit != nil {
				next = new(base64.RawURLEncoding.EncodeToString([]byte(nameOf(urls[n-1]))))
			}
			break
		}
		urls = append(urls, s.urlOf(queueKey{at, name}))
	}
	return urls, next, nil
}

// GetQueueAttributes answers the attributes asked for. The counts are exact at that moment.
func (s *Server) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return perform(ctx, s, opGetQueueAttributes, queueURL(in), in, func(in *sqs.GetQueueAttributesInput, _ struck) (*sqs.GetQueueAttributesOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		attributes, err := q.attributes(in.AttributeNames)
		if err != nil {
			return nil, err
		}
		return &sqs.GetQueueAttributesOutput{Attributes: attributes}, nil
	})
}

// SetQueueAttributes changes attributes, at once (the service takes up to a minute).
func (s *Server) SetQueueAttributes(ctx context.Context, in *sqs.SetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.SetQueueAttributesOutput, error) {
	return perform(ctx, s, opSetQueueAttributes, queueURL(in), in, func(in *sqs.SetQueueAttributesInput, hit struck) (*sqs.SetQueueAttributesOutput, error) {
		q, err := s.queueAt(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		// Looks at another queue, so it comes before this one is locked.
		probe, err := defaults(q.fifo).with(in.Attributes, q.fifo)
		if err != nil {
			return nil, err
		}
		if err := s.checkRedrive(q.queueKey, probe); err != nil {
			return nil, err
		}
		if err := s.change(ctx, in, hit); err != nil {
			return nil, err
		}
		return &sqs.SetQueueAttributesOutput{}, nil
	})
}

func (s *Server) change(ctx context.Context, in *sqs.SetQueueAttributesInput, hit struck) error {
	q, now, err := s.open(ctx, in.QueueUrl)
	if err != nil {
		return err
	}
	defer q.unlock(now)
	set, err := q.with(in.Attributes, q.fifo)
	if err != nil || hit.noEffect() {
		return err
	}
	q.set(set, now)
	return nil
}

// PurgeQueue removes all messages, in flight and delayed ones too, and forgets the deduplication ids. Once per minute.
func (s *Server) PurgeQueue(ctx context.Context, in *sqs.PurgeQueueInput, _ ...func(*sqs.Options)) (*sqs.PurgeQueueOutput, error) {
	return perform(ctx, s, opPurgeQueue, queueURL(in), in, func(in *sqs.PurgeQueueInput, hit struck) (*sqs.PurgeQueueOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		if now < q.purged+int64(purgeInterval) {
			return nil, &types.PurgeQueueInProgress{
				Message:           new("Only one PurgeQueue operation on " + q.name + " is allowed every 60 seconds."),
				ErrorCodeOverride: new(legacyPrefix + "PurgeQueueInProgress"),
			}
		}
		if !hit.noEffect() {
			q.purge(now)
		}
		return &sqs.PurgeQueueOutput{}, nil
	})
}

func (q *queue) purge(now int64) {
	q.purged = now
	q.stats.Purged += len(q.messages)
	if q.s.curious() {
		for _, n := range slices.Sorted(maps.Keys(q.messages)) {
			q.note(Purged, q.messages[n], now)
		}
	}
	q.reset()
}

// TagQueue adds tags to a queue, or changes their values.
func (s *Server) TagQueue(ctx context.Context, in *sqs.TagQueueInput, _ ...func(*sqs.Options)) (*sqs.TagQueueOutput, error) {
	return perform(ctx, s, opTagQueue, queueURL(in), in, func(in *sqs.TagQueueInput, _ struck) (*sqs.TagQueueOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		tags := maps.Clone(q.tags)
		maps.Copy(tags, in.Tags)
		switch {
		case len(in.Tags) == 0:
			return nil, missingParameter("Tags")
		case len(tags) > maxTags:
			return nil, invalidParameter("Too many tags added for queue %s.", q.name)
		}
		q.tags = tags
		return &sqs.TagQueueOutput{}, nil
	})
}

// UntagQueue removes tags.
func (s *Server) UntagQueue(ctx context.Context, in *sqs.UntagQueueInput, _ ...func(*sqs.Options)) (*sqs.UntagQueueOutput, error) {
	return perform(ctx, s, opUntagQueue, queueURL(in), in, func(in *sqs.UntagQueueInput, _ struck) (*sqs.UntagQueueOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		for _, key := range in.TagKeys {
			delete(q.tags, key)
		}
		return &sqs.UntagQueueOutput{}, nil
	})
}

// ListQueueTags answers a queue's tags.
func (s *Server) ListQueueTags(ctx context.Context, in *sqs.ListQueueTagsInput, _ ...func(*sqs.Options)) (*sqs.ListQueueTagsOutput, error) {
	return perform(ctx, s, opListQueueTags, queueURL(in), in, func(in *sqs.ListQueueTagsInput, _ struck) (*sqs.ListQueueTagsOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		out := &sqs.ListQueueTagsOutput{}
		if len(q.tags) > 0 {
			out.Tags = maps.Clone(q.tags)
		}
		return out, nil
	})
}

// policy is an access policy as far as AddPermission and RemovePermission touch it.
type policy struct {
	Version    string            `json:"Version"`
	ID         string            `json:"Id"`
	Statements []json.RawMessage `json:"Statement"`
}

type statement struct {
	Sid       string    `json:"Sid"`
	Effect    string    `json:"Effect"`
	Principal principal `json:"Principal"`
	Action    oneOrMany `json:"Action"`
	Resource  string    `json:"Resource"`
}

type principal struct {
	AWS oneOrMany `json:"AWS"`
}

// oneOrMany are written as one text when there is but one, as policies have them.
type oneOrMany []string

func (t oneOrMany) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

func (t *oneOrMany) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = oneOrMany{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// AddPermission adds a statement to a queue's policy. Policies are kept, not enforced.
func (s *Server) AddPermission(ctx context.Context, in *sqs.AddPermissionInput, _ ...func(*sqs.Options)) (*sqs.AddPermissionOutput, error) {
	return perform(ctx, s, opAddPermission, queueURL(in), in, func(in *sqs.AddPermissionInput, _ struck) (*sqs.AddPermissionOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		switch {
		case text(in.Label) == "":
			return nil, missingParameter("Label")
		case len(in.Actions) == 0:
			return nil, missingParameter("Actions")
		case len(in.AWSAccountIds) == 0:
			return nil, missingParameter("AWSAccountIds")
		}
		p := q.policy()
		if p.index(*in.Label) >= 0 {
			return nil, invalidValue(*in.Label, "Label", "Already exists.")
		}
		p.Statements = append(p.Statements, newStatement(in, q.queueKey))
		q.setPolicy(p, now)
		return &sqs.AddPermissionOutput{}, nil
	})
}

func newStatement(in *sqs.AddPermissionInput, key queueKey) json.RawMessage {
	st := statement{Sid: *in.Label, Effect: "Allow", Resource: key.arn()}
	for _, id := range in.AWSAccountIds {
		st.Principal.AWS = append(st.Principal.AWS, "arn:"+partition(key.region)+":iam::"+id+":root")
	}
	for _, action := range in.Actions {
		st.Action = append(st.Action, "SQS:"+action)
	}
	raw, _ := json.Marshal(st) //nolint:errchkjson // strings only: cannot go wrong
	return raw
}

// RemovePermission takes the statement with that label out of a queue's policy.
func (s *Server) RemovePermission(ctx context.Context, in *sqs.RemovePermissionInput, _ ...func(*sqs.Options)) (*sqs.RemovePermissionOutput, error) {
	return perform(ctx, s, opRemovePermission, queueURL(in), in, func(in *sqs.RemovePermissionInput, _ struck) (*sqs.RemovePermissionOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		p := q.policy()
		i := p.index(text(in.Label))
		if i < 0 {
			return nil, invalidValue(text(in.Label), "Label", "can't find label.")
		}
		p.Statements = slices.Delete(p.Statements, i, i+1)
		q.setPolicy(p, now)
		return &sqs.RemovePermissionOutput{}, nil
	})
}

func (p *policy) index(label string) int {
	return slices.IndexFunc(p.Statements, func(raw json.RawMessage) bool {
		var st statement
		return json.Unmarshal(raw, &st) == nil && st.Sid == label
	})
}

func (q *queue) policy() *policy {
	p := &policy{Version: "2008-10-17", ID: q.arn + "/SQSDefaultPolicy"}
	_ = json.Unmarshal([]byte(q.raw["Policy"]), p) // what is not a policy is replaced by one
	return p
}

func (q *queue) setPolicy(p *policy, now int64) {
	q.changed = now
	q.raw = maps.Clone(q.raw)
	if len(p.Statements) == 0 {
		delete(q.raw, "Policy")
		return
	}
	raw, _ := json.Marshal(p) //nolint:errchkjson // raw statements that were parsed before: cannot go wrong
	q.raw["Policy"] = string(raw)
}
