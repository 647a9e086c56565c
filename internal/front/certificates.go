package front

import (
	"context"
	"time"

	"serval/internal/logs"
)

// certificatesEvery is how often the files of certificates are looked at.
const certificatesEvery = 10 * time.Second

// watchCertificates takes renewed certificates into use, without a restart: an authority's client renews them every few weeks
// and knows nothing of this server.
func (o *operator) watchCertificates(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			o.renewCertificates()
		case <-o.asked.ended:
			return
		case <-o.replaced:
			return
		}
	}
}

func (o *operator) renewCertificates() {
	if !o.changing.TryLock() {
		return // a hot restart reads them anyway
	}
	defer o.changing.Unlock()
	for _, l := range o.listeners {
		renewed, expires, err := l.Renew()
		if err != nil {
			o.log.Error("%s keeps its certificate, because the new one cannot be used: %v", l.URL, err, logs.Named("certificate_refused", "url", l.URL))
		}
		if renewed {
			o.log.Event("%s has a new certificate, good until %s", l.URL, expires.Format(time.DateOnly), logs.Named("certificate_renewed", "url", l.URL))
		}
	}
}

// partPatience is how long clients may take to read what apps wrote before they ended.
const partPatience = time.Second

// part ends what is left of hijacked connections, when no app is there any more.
func (o *operator) part(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, partPatience)
	defer cancel()
	o.server.Part(ctx)
}
