package server

import (
	"fmt"
	"io"
	"log/slog"
)

// logLevelSetting names the level from which programs log.
const logLevelSetting = "DAYOF_LOG_LEVEL"

// LogLevel reads DAYOF_LOG_LEVEL; def is the level where it is not set.
func LogLevel(getenv func(string) string, def slog.Level) (slog.Level, error) {
	level := def
	if text := getenv(logLevelSetting); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return def, fmt.Errorf("%s: %q is none of debug, info, warn, error", logLevelSetting, text)
		}
	}
	return level, nil
}

// NewLogger returns the logger of a service in production: a JSON value a line, from the level of DAYOF_LOG_LEVEL, by
// default info.
func NewLogger(out io.Writer, getenv func(string) string) (*slog.Logger, error) {
	level, err := LogLevel(getenv, slog.LevelInfo)
	if err != nil {
		return nil, err
	}
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})), nil
}
