// Package site plays a site with a Jivo chat: its visitors, the operators who
// talk to them, and the stories they live through, as the bodies Jivo's web hooks
// would send (jivo-webhooks.md).
//
// It sends nothing and imports nothing of ours: it is written from Jivo's
// documents, so that the bridge and its tests do not share a mistake.
package site
