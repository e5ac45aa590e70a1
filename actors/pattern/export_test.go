package pattern

// ForRegexp2 is exported for the test that compares with the library.
var ForRegexp2 = forRegexp2
