package stripe

const idLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomText draws letters and digits from the seeded source. The server's mutex must be held.
func (s *Server) randomText(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = idLetters[s.random.IntN(len(idLetters))]
	}
	return string(b)
}

func (s *Server) newRequestID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "req_" + s.randomText(14)
}
