// Package inboxproof proves package inbox on databases: SQLite, and PostgreSQL and MariaDB where
// they are installed. A seed makes a world with two queues, processes that crash at their commits,
// deletes that are lost, producers that send twice, and functions that fail and panic. The world
// runs in virtual time. Afterwards each effect must be in the database once.
//
// Read world_test.go first, then faulty_test.go (what goes wrong between a process and its
// database). mutants_test.go brings bugs into package inbox, which the worlds must notice.
// semantics_test.go shows single claims, with real locks.
//
// It is a module of its own, since drivers of databases must not be in the go.mod of the library.
package inboxproof
