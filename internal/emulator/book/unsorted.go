package book

// Unsorted is an incoming lead nobody has accepted or declined yet, or has:
// State is "", accepted or declined.
type Unsorted struct {
	UID        string
	Category   string // forms | sip
	SourceName string
	SourceUID  string
	Metadata   map[string]any
	LeadID     int64
	ContactID  int64
	CompanyID  int64
	PipelineID int64
	CreatedAt  int64
	State      string
}

// UnsortedBy finds an incoming lead nobody has decided on.
func (b *Book) UnsortedBy(uid string) (*Unsorted, bool) {
	for _, u := range b.Unsorted {
		if u.UID == uid && u.State == "" {
			return u, true
		}
	}
	return nil, false
}
