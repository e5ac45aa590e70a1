package language

// CheckExpression tells what is wrong with an expression, written with or without `${ }`, that is evaluated outside of
// tasks: it sees Variables, and none that tasks define.
func CheckExpression(text string) error { return compile(body(text), nil).err }
