package ledgersvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	formance "github.com/formancehq/formance-sdk-go/v3"
)

// infoBytesMax is how much of an answer is read to find out whose it is.
const infoBytesMax = 1 << 16

// findServer returns the version of the server. Where the path prefix is not given, a bare ledger is sought first, then the
// stack's gateway: at a bare ledger the gateway's path is API version 1 of a ledger named "api", which it would make.
// Only an answer that says that it is a ledger's is accepted; no answer, or one that speaks of the server's trouble, is an
// *awayError, because it does not say what is there.
func (l *ledger) findServer(ctx context.Context) (string, error) {
	prefixes := []string{"", sdkPrefix}
	if l.config.PathPrefix != prefixAuto {
		prefixes = []string{strings.TrimSuffix(l.config.PathPrefix, "/")}
	}
	var tried []string
	var denied error
	for _, prefix := range prefixes {
		l.transport.setPrefix(prefix)
		version, err := l.version(ctx)
		if err == nil {
			return version, nil
		}
		away, isAway := errors.AsType[*awayError](err)
		switch {
		case isAway && away.inTrouble():
			return "", err
		case isAway && away.denied():
			denied = err
		}
		tried = append(tried, fmt.Sprintf("%s/_/info: %v", prefix, err))
		if version, err = l.otherVersion(ctx, prefix); err != nil || version != "" {
			return version, err
		}
	}
	if denied != nil {
		return "", &wrongLedgerError{text: fmt.Sprintf("%s refuses our credentials (%v); check DAYOF_FORMANCE_CLIENT_ID and "+
			"DAYOF_FORMANCE_CLIENT_SECRET", l.config.URL, denied)}
	}
	return "", &wrongLedgerError{text: fmt.Sprintf("%s serves no Formance ledger (%s); check DAYOF_FORMANCE_URL and DAYOF_FORMANCE_PATH_PREFIX",
		l.config.URL, strings.Join(tried, "; "))}
}

// version asks /_/info, where every ledger 2.x says what it is.
func (l *ledger) version(ctx context.Context) (string, error) {
	var version string
	err := l.ask(ctx, "get server info", l.sdk.Load(), func(ctx context.Context, sdk *formance.Formance) error {
		res, err := sdk.Ledger.GetInfo(ctx)
		switch {
		case err != nil:
			return err
		case res.StatusCode != http.StatusOK: // the SDK takes some refusals for answers
			return errors.New("no information in the answer")
		case res.V2ConfigInfoResponse.GetServer() == "ledger":
			version = res.V2ConfigInfoResponse.GetVersion()
		}
		return nil
	})
	if err == nil && version == "" {
		err = errors.New("the answer does not say that it is a ledger")
	}
	return version, err
}

// otherVersion asks /_info, where ledgers of other major versions say what they are; "" if it is none. It asks without
// credentials: what is found is refused anyway.
func (l *ledger) otherVersion(ctx context.Context, prefix string) (string, error) {
	const call = "get server info of another version"
	ctx, cancel := context.WithTimeout(ctx, l.config.AttemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(l.config.URL, "/")+prefix+"/_info", nil)
	if err != nil {
		return "", fmt.Errorf("%s: %w", call, err)
	}
	response, err := l.transport.RoundTrip(request)
	if err != nil {
		return "", &awayError{call: call, notSent: true, err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, infoBytesMax))
	if err != nil {
		return "", &awayError{call: call, notSent: true, err: err}
	}
	type serverInfo struct{ Server, Version string }
	var info struct {
		serverInfo
		Data serverInfo
	}
	if response.StatusCode != http.StatusOK || json.Unmarshal(body, &info) != nil {
		return "", nil
	}
	for _, said := range []serverInfo{info.serverInfo, info.Data} {
		if said.Server == "ledger" {
			return said.Version, nil
		}
	}
	return "", nil
}
