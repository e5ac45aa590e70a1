//go:build !torture

package engine

func observeTimer(firedTimer) {}
