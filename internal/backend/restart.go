package backend

import (
	"errors"
	"fmt"
	"sync"

	"serval/internal/installation"
)

// restartAll restarts the web server first: a release that it does not come up with is not for the others. Of those, the
// instances of each process are restarted one after the other, so that the rest of them goes on working; different processes at
// the same time.
func restartAll(services []installation.Service, web, other func(installation.Service) error) error {
	others := map[string][]installation.Service{}
	for _, service := range services {
		if !service.Process.Web {
			others[service.Process.Name] = append(others[service.Process.Name], service)
			continue
		}
		if err := web(service); err != nil {
			if len(services) > 1 {
				err = fmt.Errorf("%w\nThe other services were not restarted", err)
			}
			return err
		}
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, instances := range others {
		all.Go(func() {
			for _, service := range instances {
				if err := other(service); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
