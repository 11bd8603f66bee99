package inboxproof

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/sluice-go/sluice/inbox"
)

// A database is a kind of database that tests run on.
type database struct {
	name    string
	dialect inbox.Dialect
	locks   bool // a transaction waits for another one's key; else it gets an error

	// connector returns what connects to a database. Each test has one of its own, or tables of
	// its own in one.
	connector func(t *testing.T) driver.Connector
}

var databases = []database{
	{name: "SQLite", dialect: inbox.SQLite, connector: newSQLite},
	{name: "PostgreSQL", dialect: inbox.Postgres, locks: true, connector: postgres.connect},
	{name: "MariaDB", dialect: inbox.MySQL, locks: true, connector: mariadb.connect},
}

// onEach runs a test on each database that there is.
func onEach(t *testing.T, test func(t *testing.T, d database)) {
	t.Helper()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) { test(t, d) })
	}
}

var tables atomic.Int64

// newTable returns the name of a table that no other test has.
func newTable() string { return fmt.Sprintf("inbox_%d", tables.Add(1)) }

// open returns a pool of connections, closed at the end of the test.
func (d database) open(t *testing.T) *sql.DB {
	t.Helper()
	db := sql.OpenDB(d.connector(t))
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// newBox returns an inbox with a table of its own, and a table of effects.
func (d database) newBox(t *testing.T, db *sql.DB, opts inbox.Options) (box *inbox.Inbox, effects string) {
	t.Helper()
	opts.Dialect = d.dialect
	if opts.Table == "" {
		opts.Table = newTable()
	}
	if opts.Handler == "" {
		opts.Handler = "billing"
	}
	box, err := inbox.New(db, opts)
	require.NoError(t, err)
	require.NoError(t, box.Create(t.Context()))
	effects = opts.Table + "_effects"
	_, err = db.ExecContext(t.Context(), effectsTable[d.dialect](effects))
	require.NoError(t, err)
	return box, effects
}

// effectsTable makes the table of effects. Nothing in it is unique: what happens twice is seen.
var effectsTable = map[inbox.Dialect]func(name string) string{
	inbox.SQLite: func(name string) string {
		return `CREATE TABLE IF NOT EXISTS ` + name + ` (id INTEGER PRIMARY KEY AUTOINCREMENT, handler TEXT NOT NULL, message_key TEXT NOT NULL)`
	},
	inbox.Postgres: func(name string) string {
		return `CREATE TABLE IF NOT EXISTS ` + name + ` (id bigserial PRIMARY KEY, handler text NOT NULL, message_key text COLLATE "C" NOT NULL)`
	},
	inbox.MySQL: func(name string) string {
		return `CREATE TABLE IF NOT EXISTS ` + name + ` (id BIGINT AUTO_INCREMENT PRIMARY KEY, handler VARBINARY(100) NOT NULL, message_key VARBINARY(2000) NOT NULL)`
	},
}

// addEffect inserts an effect.
func (d database) addEffect(ctx context.Context, tx *sql.Tx, effects, handler, key string) error {
	values := `(?, ?)`
	if d.dialect == inbox.Postgres {
		values = `($1, $2)`
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO `+effects+` (handler, message_key) VALUES `+values, handler, key)
	return err
}

// An effect is a row of the table of effects.
type effect struct{ handler, key string }

// effectsOf returns the effects in the order in which they happened.
func effectsOf(t *testing.T, db *sql.DB, effects string) (list []effect) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT handler, message_key FROM `+effects+` ORDER BY id`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var e effect
		require.NoError(t, rows.Scan(&e.handler, &e.key))
		list = append(list, e)
	}
	require.NoError(t, rows.Err())
	return list
}

// newSQLite returns what connects to a new file. A connection that finds it locked gets an error at
// once.
func newSQLite(t *testing.T) driver.Connector {
	t.Helper()
	file := filepath.Join(t.TempDir(), "inbox.db")
	query := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(OFF)", "busy_timeout(0)"}} // no power failure is tested
	return dsnConnector{&sqlite.Driver{}, (&url.URL{Scheme: "file", OmitHost: true, Path: file, RawQuery: query.Encode()}).String()}
}

// A dsnConnector connects with a driver that has no connector of its own.
type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }

// A server is a database server that the tests start as a child process, once.
type server struct {
	prepare   func(dir string, as *syscall.SysProcAttr) (serve *exec.Cmd, err error) // makes the files of a database
	connector func(dir string) (driver.Connector, error)

	once  sync.Once
	dir   string // of its files and its socket
	run   *exec.Cmd
	alive io.Closer // a pipe; when it closes, the server ends
	err   error     // why there is none
}

var (
	postgres = &server{prepare: preparePostgres, connector: connectPostgres}
	mariadb  = &server{prepare: prepareMariaDB, connector: connectMariaDB}
)

func connectPostgres(dir string) (driver.Connector, error) {
	config, err := pgx.ParseConfig("host=" + dir + " user=postgres dbname=postgres sslmode=disable")
	if err != nil {
		return nil, err
	}
	return stdlib.GetConnector(*config), nil
}

func connectMariaDB(dir string) (driver.Connector, error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = "root", "unix", filepath.Join(dir, "socket"), "test"
	config.ClientFoundRows = true // the harder case: an update without a change counts as one
	config.Logger = &mysql.NopLogger{}
	return mysql.NewConnector(config)
}

// connect returns what connects to the server, which it starts if it does not run yet. Where there
// is none, the test is skipped.
func (s *server) connect(t *testing.T) driver.Connector {
	t.Helper()
	s.once.Do(func() { s.err = s.start() })
	if s.err != nil {
		t.Skip("SKIPPED: " + s.err.Error())
	}
	connector, err := s.connector(s.dir)
	require.NoError(t, err)
	return connector
}

// start starts the server, as an ordinary user, since none of them runs as root.
func (s *server) start() (err error) {
	if s.dir, err = os.MkdirTemp("", "db"); err != nil { // short: the path of a socket has 107 bytes at most
		return err
	}
	as := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		uid, gid, err := ordinaryUser()
		if err != nil {
			return err
		}
		as.Credential = &syscall.Credential{Uid: uid, Gid: gid}
		if err := os.Chown(s.dir, int(uid), int(gid)); err != nil {
			return err
		}
	}
	serve, err := s.prepare(s.dir, as)
	if err != nil {
		return err
	}
	s.run = exec.Command("sh", append([]string{"-c", whilePipeIsOpen, "sh", s.dir}, serve.Args...)...)
	s.run.SysProcAttr, s.run.Dir = as, s.dir
	if s.alive, err = s.run.StdinPipe(); err != nil {
		return err
	}
	if err := s.run.Start(); err != nil {
		return err
	}
	return s.awaitAnswer()
}

// whilePipeIsOpen runs a server until the pipe closes, also because the tests were killed. Then it
// removes the server's directory.
const whilePipeIsOpen = `dir=$1; shift; "$@" & cat >/dev/null; kill -QUIT $!; wait; rm -rf "$dir"`

// awaitAnswer waits until the server answers. It is the only wait in real time: for a process that
// starts.
func (s *server) awaitAnswer() error {
	connector, err := s.connector(s.dir)
	if err != nil {
		return err
	}
	const patience = 3 * time.Minute
	for began := time.Now(); time.Since(began) < patience; time.Sleep(50 * time.Millisecond) {
		var c driver.Conn
		if c, err = connector.Connect(context.Background()); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("the server has not answered for %v: %w", patience, err)
}

// ordinaryUser returns a user that root may start a server as.
func ordinaryUser() (uid, gid uint32, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		if u, lookup := user.Lookup(name); lookup == nil {
			id, _ := strconv.Atoi(u.Uid)
			group, _ := strconv.Atoi(u.Gid)
			return uint32(id), uint32(group), nil
		}
	}
	return 0, 0, errors.New("a database server does not run as root, and there is no user postgres or nobody")
}

// end stops the server and removes its files.
func (s *server) end() {
	if s.alive != nil {
		_ = s.alive.Close()
		_ = s.run.Wait()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	postgres.end()
	mariadb.end()
	os.Exit(code)
}

// find returns the path of a program that is in PATH or in a directory of Debian.
func find(name, hint string, dirs ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, pattern := range dirs {
		found, _ := filepath.Glob(filepath.Join(pattern, name))
		if len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("there is no %s; %s", name, hint)
}

const (
	postgresHint = "to run this test: apt-get install postgresql"
	mariadbHint  = "to run this test: apt-get install mariadb-server"
)

func preparePostgres(dir string, as *syscall.SysProcAttr) (*exec.Cmd, error) {
	initdb, err := find("initdb", postgresHint, "/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := once(dir, as, initdb, "--pgdata="+data, "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	run := exec.Command(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=200",
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "autovacuum=off") // no power failure is tested
	return run, nil
}

func prepareMariaDB(dir string, as *syscall.SysProcAttr) (*exec.Cmd, error) {
	install, err := find("mariadb-install-db", mariadbHint)
	if err != nil {
		return nil, err
	}
	mariadbd, err := find("mariadbd", mariadbHint, "/usr/sbin")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := once(dir, as, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal"); err != nil {
		return nil, err
	}
	return exec.Command(mariadbd, "--no-defaults", "--datadir="+data, "--socket="+filepath.Join(dir, "socket"), "--pid-file="+filepath.Join(dir, "pid"),
		"--skip-networking", "--innodb-flush-log-at-trx-commit=0"), nil
}

// once runs a program that ends.
func once(dir string, as *syscall.SysProcAttr, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr, cmd.Dir = as, dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(string(out)))
	}
	return nil
}
