package otelsluice

// What tests of pure functions look at.
var (
	KindOfCall       = kindOfCall
	ParseTraceHeader = parseTraceHeader
	PrintTraceHeader = printTraceHeader
	Members          = members
	Notified         = notified
)
