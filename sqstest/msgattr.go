package sqstest

import (
	"crypto/md5" // the protocol's checksum, not a secret's
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// attributesMD5 is the digest of message attributes: in the order of their names, each as name, type, one byte for the
// kind of value, and value; texts with their length before them ("Calculating the MD5 message digest for message
// attributes", developer guide). Without attributes it is "".
func attributesMD5(attributes map[string]types.MessageAttributeValue) string {
	if len(attributes) == 0 {
		return ""
	}
	h := md5.New()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		writeSized(h, []byte(name))
		writeSized(h, []byte(text(a.DataType)))
		if kindOf(text(a.DataType)) == "Binary" {
			h.Write([]byte{2})
			writeSized(h, a.BinaryValue)
			continue
		}
		h.Write([]byte{1})
		writeSized(h, []byte(text(a.StringValue)))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func writeSized(h hash.Hash, b []byte) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(b)))
	h.Write(n[:])
	h.Write(b)
}

// kindOf is a data type without its custom label: "Number.float" is a Number.
func kindOf(dataType string) string {
	kind, _, _ := strings.Cut(dataType, ".")
	return kind
}

// text is *s, or "" for nil.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// checkMessageAttributes holds message attributes to SQS's rules.
func checkMessageAttributes(attributes map[string]types.MessageAttributeValue) error {
	if len(attributes) > maxAttributes {
		return invalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(attributes), maxAttributes)
	}
	if len(attributes) == 0 { // most messages: nothing to sort
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if err := checkAttributeName(name); err != nil {
			return err
		}
		if err := checkAttributeValue(name, attributes[name]); err != nil {
			return err
		}
	}
	return nil
}

func checkAttributeName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "":
		return invalidParameter("The request must contain non-empty message attribute names.")
	case len(name) > maxAttrName:
		return invalidParameter("Length of message attribute name must be less than %d bytes.", maxAttrName)
	case strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
		return invalidParameter("You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for internal use.")
	case name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, ".."):
		return invalidParameter("Invalid message attribute name '%s': it must not start or end with a period, or have periods in succession.", name)
	case strings.ContainsFunc(name, func(r rune) bool { return !isWord(r) && r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }):
		return invalidParameter("Invalid non-alphanumeric character was found in the message attribute name '%s'. Can only include alphanumeric characters, hyphens, underscores, or dots.", name)
	}
	return nil
}

func checkAttributeValue(name string, a types.MessageAttributeValue) error {
	dataType := text(a.DataType)
	kind := kindOf(dataType)
	empty := text(a.StringValue) == ""
	switch kind {
	case "String":
	case "Number":
		if !empty && !validNumber(text(a.StringValue)) {
			return invalidParameter("Can't cast the value of message (user) attribute '%s' to a number.", name)
		}
	case "Binary":
		empty = len(a.BinaryValue) == 0
	case "":
		return invalidParameter("The message attribute '%s' must contain a non-empty message attribute type.", name)
	default:
		return invalidParameter("The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", name)
	}
	if len(dataType) > maxAttrName {
		return invalidParameter("Length of message attribute type must be less than %d bytes.", maxAttrName)
	}
	if len(a.StringListValues) > 0 || len(a.BinaryListValues) > 0 {
		return invalidParameter("Message attribute list values in SendMessage operation are not supported.")
	}
	if empty {
		return invalidParameter("Message (user) attribute '%s' must contain a non-empty value of type '%s'.", name, kind)
	}
	if kind != "Binary" && !validText(text(a.StringValue)) {
		return invalidParameter("Invalid binary character was found in the message attribute '%s' value.", name)
	}
	return nil
}

// Limits of numbers ("Message attribute data types", developer guide).
const (
	maxDigits   = 38   // without the zeros at either end
	minExponent = -128 // of the first digit that is not 0
	maxExponent = 126
)

// validNumber reports whether value is a decimal number that SQS takes as a Number.
func validNumber(value string) bool {
	digits, point, ok := parseDecimal(value)
	if !ok {
		return false
	}
	leading := len(digits) - len(strings.TrimLeft(digits, "0"))
	digits = strings.Trim(digits, "0")
	if digits == "" {
		return true // zero
	}
	exponent := point - leading - 1
	if exponent == maxExponent {
		return digits == "1"
	}
	return len(digits) <= maxDigits && exponent >= minExponent && exponent < maxExponent
}

// parseDecimal returns the digits of a decimal number, and how many of them stand before the point.
func parseDecimal(value string) (digits string, point int, ok bool) {
	if value != "" && (value[0] == '+' || value[0] == '-') {
		value = value[1:]
	}
	exponent := 0
	if i := strings.IndexAny(value, "eE"); i >= 0 {
		n, err := strconv.ParseInt(value[i+1:], 10, 32) // far beyond any limit, and safe to add to
		if err != nil {
			return "", 0, false
		}
		value, exponent = value[:i], int(n)
	}
	whole, fraction, _ := strings.Cut(value, ".")
	digits = whole + fraction
	if digits == "" || strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return "", 0, false
	}
	return digits, len(whole) + exponent, true
}

// isWord reports whether r may stand in an id: alphanumeric, hyphen, underscore.
func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// checkSystemAttributes holds what a producer may set to SQS's rules: the trace header, a String.
func checkSystemAttributes(attributes map[string]types.MessageSystemAttributeValue) error {
	for name, a := range attributes {
		if name != string(types.MessageSystemAttributeNameForSendsAWSTraceHeader) {
			return invalidParameter("Message system attribute name '%s' is invalid.", name)
		}
		if text(a.DataType) != "String" {
			return invalidParameter("The message system attribute '%s' has an invalid message system attribute type, the set of supported type prefixes is String.", name)
		}
		if text(a.StringValue) == "" {
			return invalidParameter("Message (system) attribute '%s' must contain a non-empty value of type 'String'.", name)
		}
	}
	return nil
}

func systemMD5(attributes map[string]types.MessageSystemAttributeValue) string {
	if len(attributes) == 0 {
		return ""
	}
	same := make(map[string]types.MessageAttributeValue, len(attributes))
	for name, a := range attributes {
		same[name] = types.MessageAttributeValue{DataType: a.DataType, StringValue: a.StringValue}
	}
	return attributesMD5(same)
}

// cloneAttributes makes attributes independent of the sender's memory.
func cloneAttributes(attributes map[string]types.MessageAttributeValue) map[string]types.MessageAttributeValue {
	if len(attributes) == 0 {
		return nil
	}
	c := make(map[string]types.MessageAttributeValue, len(attributes))
	for name, a := range attributes {
		v := types.MessageAttributeValue{DataType: new(text(a.DataType))}
		if kindOf(text(a.DataType)) == "Binary" {
			v.BinaryValue = slices.Clone(a.BinaryValue)
		} else {
			v.StringValue = new(text(a.StringValue))
		}
		c[name] = v
	}
	return c
}

func attributesSize(attributes map[string]types.MessageAttributeValue) (n int) {
	for name, a := range attributes {
		n += len(name) + len(text(a.DataType)) + len(text(a.StringValue)) + len(a.BinaryValue)
	}
	return n
}

// systemSet is a set of message system attributes.
type systemSet uint16

const (
	wantSender systemSet = 1 << iota
	wantSent
	wantCount
	wantFirst
	wantSequence
	wantDedup
	wantGroup
	wantTrace
	wantOrigin
	wantAll = wantOrigin<<1 - 1
)

var systemNames = map[string]systemSet{
	string(types.MessageSystemAttributeNameAll):                              wantAll,
	string(types.MessageSystemAttributeNameSenderId):                         wantSender,
	string(types.MessageSystemAttributeNameSentTimestamp):                    wantSent,
	string(types.MessageSystemAttributeNameApproximateReceiveCount):          wantCount,
	string(types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp): wantFirst,
	string(types.MessageSystemAttributeNameSequenceNumber):                   wantSequence,
	string(types.MessageSystemAttributeNameMessageDeduplicationId):           wantDedup,
	string(types.MessageSystemAttributeNameMessageGroupId):                   wantGroup,
	string(types.MessageSystemAttributeNameAWSTraceHeader):                   wantTrace,
	string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn):         wantOrigin,
	string(types.QueueAttributeNameSqsManagedSseEnabled):                     0, // accepted by ReceiveMessage, says nothing about a message
}

// selection is which attributes a receive asked for.
type selection struct {
	system   systemSet
	all      bool            // every message attribute
	names    map[string]bool // these
	prefixes []string        // and those that begin so
}

// selectAttributes reads the three lists of a receive; the deprecated one adds to its successor.
func selectAttributes(system []types.MessageSystemAttributeName, deprecated []types.QueueAttributeName, names []string) (*selection, error) {
	s := &selection{}
	for _, name := range system {
		if err := s.addSystem(string(name)); err != nil {
			return nil, err
		}
	}
	for _, name := range deprecated {
		if err := s.addSystem(string(name)); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		prefix, wild := strings.CutSuffix(name, "*")
		switch {
		case name == "All" || name == "*" || name == ".*":
			s.all = true
		case wild:
			s.prefixes = append(s.prefixes, strings.TrimSuffix(prefix, "."))
		default:
			if s.names == nil {
				s.names = map[string]bool{}
			}
			s.names[name] = true
		}
	}
	return s, nil
}

func (s *selection) addSystem(name string) error {
	set, ok := systemNames[name]
	if !ok {
		return unknownAttribute(name)
	}
	s.system |= set
	return nil
}

func (s *selection) any() bool { return s.all || len(s.names) > 0 || len(s.prefixes) > 0 }

func (s *selection) pick(attributes map[string]types.MessageAttributeValue) map[string]types.MessageAttributeValue {
	some := map[string]types.MessageAttributeValue{}
	for name, a := range attributes {
		if s.names[name] || slices.ContainsFunc(s.prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			some[name] = a
		}
	}
	return some
}
