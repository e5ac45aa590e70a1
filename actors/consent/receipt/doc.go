// Package receipt makes and verifies receipts of consents.
//
// A receipt is a record after ISO/IEC TS 27560:2023 in JSON-LD with the terms of the Data Privacy Vocabulary 2.3, in the profile
// dpv-27560:receipt-eu-gdpr: each of its 25 mandatory and 10 further fields is in every receipt. Its context is in the receipt, so that nothing has
// to be loaded to read it. It is signed by a Data Integrity proof with the cryptosuite eddsa-jcs-2022 (W3C), and has the entry of the ledger that
// records the consent, with its inclusion proof. A receipt after the Kantara Consent Receipt Specification 1.1.0 is made of the same Input.
package receipt
