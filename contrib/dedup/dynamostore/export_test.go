package dynamostore

import "time"

// Pass makes time pass for the store: DynamoDB has no clock, so it is the store's that counts.
func (s *Store) Pass(d time.Duration) {
	before := s.now
	s.now = func() time.Time { return before().Add(d) }
}
