// Package chart tests the Helm chart in deploy/chart: it renders the chart with Helm's own engine and judges what comes out by the schemas of
// several versions of Kubernetes. It has a module of its own, so that Helm does not decide the versions of weft's dependencies.
package chart
