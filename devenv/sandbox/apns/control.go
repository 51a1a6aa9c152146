package apns

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Control is the control API, see the package comment. GET / is the log too.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	showLog := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Pushes()) }
	mux.HandleFunc("GET /{$}", showLog)
	mux.HandleFunc("GET /log", showLog)
	mux.HandleFunc("DELETE /log", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		s.log = nil
		s.mu.Unlock()
		writeJSON(w, http.StatusOK, []Push{})
	})
	mux.HandleFunc("GET /connections", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Connections()) })
	showScripts := func(w http.ResponseWriter) {
		s.mu.Lock()
		scripts := make(map[string]Script, len(s.script))
		for token, script := range s.script {
			scripts[token] = *script
		}
		s.mu.Unlock()
		writeJSON(w, http.StatusOK, scripts)
	}
	mux.HandleFunc("GET /devices", func(w http.ResponseWriter, _ *http.Request) { showScripts(w) })
	mux.HandleFunc("PUT /devices/{token}", func(w http.ResponseWriter, r *http.Request) {
		var script Script
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
		dec.DisallowUnknownFields()
		err := dec.Decode(&script)
		if err == nil {
			err = s.SetScript(r.PathValue("token"), script)
		}
		if err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "no script was set: " + err.Error()})
			return
		}
		showScripts(w)
	})
	mux.HandleFunc("DELETE /devices/{token}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		delete(s.script, strings.ToLower(r.PathValue("token")))
		s.mu.Unlock()
		showScripts(w)
	})
	mux.HandleFunc("DELETE /devices", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		clear(s.script)
		s.mu.Unlock()
		showScripts(w)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the reader may be gone
}
