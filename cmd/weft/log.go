package main

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logFlushInterval bounds how long a line below warn stays in the buffer. Buffering saves one system call per request.
const logFlushInterval = 200 * time.Millisecond

// newLog returns a logger that writes JSON lines to out. A line of level warn or above flushes the buffer.
func newLog(c LogConfig, out io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, fmt.Errorf("reading log.level: %w", err)
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoder.EncodeDuration = zapcore.StringDurationEncoder
	buffer := &zapcore.BufferedWriteSyncer{WS: zapcore.Lock(zapcore.AddSync(out)), Size: 256 << 10, FlushInterval: logFlushInterval}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoder), buffer, level)
	return zap.New(core, zap.AddCaller(), zap.Hooks(func(e zapcore.Entry) error {
		if e.Level >= zapcore.WarnLevel {
			return buffer.Sync()
		}
		return nil
	})), nil
}
