// Package dataexport reads what an actor holds of one user, page by page, for the rights of access and portability (GDPR Art. 15 and 20).
//
// An actor lists its tables as Sources. Each column is either exported or omitted for a stated reason, and so is each table; a test of every
// actor compares the lists with its migrations (actortest.CheckExport). A page is a piece of lines of JSON, one for each record, with a
// bounded length: a record that is longer is returned in several pages.
package dataexport
