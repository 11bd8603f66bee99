package dedup

import "time"

// Len returns how many keys there are, with those that have expired.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.keys)
}

// Owner returns the owner of a key, or another one if it has none.
func (m *Memory) Owner(key, other string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, found := m.keys[key]; found {
		return r.owner
	}
	return other
}

// Expired reports whether a claim or mark has expired.
func (m *Memory) Expired(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !time.Now().Before(m.keys[key].until)
}
