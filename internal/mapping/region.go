package mapping

// InRegion returns the program as it is for phones of another region: the one
// of the account, where the config names none.
func (p *Program) InRegion(region string) *Program {
	q := *p
	q.env.Region = region
	return &q
}

// InRegion is Program.InRegion for the lines of a reply.
func (r *Replies) InRegion(region string) *Replies {
	q := *r
	q.program = r.program.InRegion(region)
	return &q
}
