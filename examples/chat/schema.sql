-- What was said. The database is the truth; the queue only makes things happen.
create table if not exists message (
	seq       integer primary key autoincrement, -- the order in which the server took them
	id        text not null unique,              -- made by the device, so that a repeated post is one message
	sender    text not null,
	recipient text not null,
	body      text not null,
	sent_at   integer not null                   -- when the server took it, in microseconds since 1970
) strict;

create index if not exists message_sender on message (sender, seq);

-- One notification queue per user: what is to reach the user's devices, in order.
create table if not exists notification (
	recipient    text not null,
	number       integer not null, -- place in the recipient's queue: 1, 2, 3, ...
	message      text not null references message (id),
	delivered_at integer,          -- when a device acknowledged it; null: it waits

	primary key (recipient, number),
	unique (recipient, message) -- an event that arrives twice makes one entry
) strict, without rowid;
