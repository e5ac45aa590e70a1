package database

import "github.com/prometheus/client_golang/prometheus"

// databaseCollector has the metrics of a database's caches and transactions.
type databaseCollector struct {
	db                                              *DB
	hits, misses, waiting, statements, transactions *prometheus.Desc
	connections, connectionsWaiting                 *prometheus.Desc
}

func newDatabaseCollector(db *DB, actor string) databaseCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, prometheus.Labels{"db_name": actor})
	}
	return databaseCollector{
		db:           db,
		hits:         desc("weft_row_cache_hits_total", "Reads of single rows that were answered from memory.", "table"),
		misses:       desc("weft_row_cache_misses_total", "Reads of single rows that a cache has passed on to the database.", "table"),
		statements:   desc("weft_statements_total", "SQL statements, with those that begin and end transactions, without the prepared ones of SQLite."),
		transactions: desc("weft_transactions_total", "Transactions that write."),
		waiting:      desc("weft_transactions_waiting", "Transactions that wait for a connection to write on."),
		connections: desc("weft_database_connections",
			"Connections to PostgreSQL: open and idle of all databases that share them, in_use of this one.", "state"),
		connectionsWaiting: desc("weft_database_connections_waiting", "Reads and transactions that wait for a connection to PostgreSQL."),
	}
}

// Describe implements prometheus.Collector.
func (c databaseCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.hits
	descs <- c.misses
	descs <- c.waiting
	descs <- c.statements
	descs <- c.transactions
	descs <- c.connections
	descs <- c.connectionsWaiting
	if c.db.share != nil {
		c.db.share.waited.Describe(descs)
	}
}

// Collect implements prometheus.Collector.
func (c databaseCollector) Collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(c.db.waiting.Load()))
	statements := c.db.statements.Load()
	if c.db.share != nil {
		statements += c.db.share.prepared.Load()
	}
	metrics <- prometheus.MustNewConstMetric(c.statements, prometheus.CounterValue, float64(statements))
	metrics <- prometheus.MustNewConstMetric(c.transactions, prometheus.CounterValue, float64(c.db.transactions.Load()))
	if c.db.share != nil {
		stats := c.db.ConnectionStats()
		for state, n := range map[string]int{"open": stats.Open, "idle": stats.Idle, "in_use": stats.InUse} {
			metrics <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(n), state)
		}
		metrics <- prometheus.MustNewConstMetric(c.connectionsWaiting, prometheus.GaugeValue, float64(stats.Waiting))
		c.db.share.waited.Collect(metrics)
	}
	c.db.cached.mu.RLock()
	defer c.db.cached.mu.RUnlock()
	for name, table := range c.db.cached.tables {
		metrics <- prometheus.MustNewConstMetric(c.hits, prometheus.CounterValue, float64(table.hits.Load()), name)
		metrics <- prometheus.MustNewConstMetric(c.misses, prometheus.CounterValue, float64(table.misses.Load()), name)
	}
}
