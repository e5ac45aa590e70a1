package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logFlushInterval bounds how long a line below warn stays in the buffer. Buffering saves one system call per request.
const logFlushInterval = 200 * time.Millisecond

// The values of log.format.
const (
	logAuto = "auto"
	logJSON = "json"
	logText = "text"
)

// newLog returns a logger that writes lines of JSON or text to out. A line of level warn or above flushes the buffer.
func newLog(c LogConfig, out io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, fmt.Errorf("reading log.level: %w", err)
	}
	buffer := &zapcore.BufferedWriteSyncer{WS: zapcore.Lock(zapcore.AddSync(out)), Size: 256 << 10, FlushInterval: logFlushInterval}
	core := zapcore.NewCore(logEncoder(c.Format, out), buffer, level)
	return zap.New(core, zap.AddCaller(), zap.Hooks(func(e zapcore.Entry) error {
		if e.Level >= zapcore.WarnLevel {
			return buffer.Sync()
		}
		return nil
	})), nil
}

// logEncoder returns the encoder of a format. Durations are numbers of seconds in both, so that they can be compared and summed.
func logEncoder(format string, out io.Writer) zapcore.Encoder {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.SecondsDurationEncoder
	if format == logText || format == logAuto && isTerminal(out) {
		config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		config.ConsoleSeparator = "  "
		return zapcore.NewConsoleEncoder(config)
	}
	return zapcore.NewJSONEncoder(config)
}

// isTerminal reports whether out is a terminal.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
