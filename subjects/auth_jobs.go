package subjects

import "time"

// AuthJobs holds e-mails that auth has to hand to the notification actor.
var AuthJobs = declareStream(Stream{
	Name: "JOBS_AUTH", Subjects: []string{jobPrefix + "auth.>"}, Retention: RetainWork,
	Writers: []string{"auth"}, Doc: "E-mails that auth hands to the notification actor.",
})

// SendMailJob names an e-mail. Its text stays, sealed, in auth's database.
type SendMailJob struct {
	LetterID string `json:"letter_id"`
}

// SendMail hands one e-mail to the notification actor.
var SendMail = declareJob(Job[SendMailJob]{
	Subject: "weft.job.v1.auth.send_letter", Stream: AuthJobs, MaxDeliver: 8,
	Backoff: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute},
	Doc:     "Hands an e-mail to the notification actor.",
})
