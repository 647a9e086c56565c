package main

// load is one kind of traffic: what is asked of which app.
type load struct {
	name        string
	about       string
	app         string
	path        string
	headers     []string
	script      string
	connections counts // how many, unless -connections says so
	alone       bool   // the server has one worker with one thread
}

// loads are what core measures.
var loads = []load{
	{name: "hello", about: "GET, 13 bytes back", app: "bench/apps/hello.ru", path: "/", connections: counts{64, 256}},
	{name: "headers", about: "GET with the 18 headers of a browser, 13 bytes back", app: "bench/apps/hello.ru", path: "/", headers: browser, connections: counts{64, 256}},
	{name: "single", about: "hello from one worker with one thread", app: "bench/apps/hello.ru", path: "/", connections: counts{64}, alone: true},
	{name: "connect", about: "hello, with a connection for each request", app: "bench/apps/hello.ru", path: "/", headers: []string{"Connection: close"}, connections: counts{64}},
	{name: "post", about: "POST of 2 KB of JSON, which the app parses", app: "bench/apps/json.ru", path: "/", script: "bench/post.lua", connections: counts{64}},
	{name: "large", about: "GET, 100 KB back", app: "bench/apps/large.ru", path: "/", connections: counts{64}},
	{name: "huge", about: "GET, 10 MB back", app: "bench/apps/large.ru", path: "/10mb", connections: counts{64}},
	{name: "sleep", about: "GET, the app sleeps 5 ms", app: "bench/apps/sleep.ru", path: "/", connections: counts{64, 256}},
	{name: "cpu", about: "GET, the app computes for about 5 ms in pure Ruby", app: "bench/apps/cpu.ru", path: "/", connections: counts{64}},
	{name: "rails", about: "GET, a JSON action of a Rails API app", app: "bench/apps/rails.ru", path: "/", connections: counts{64}},
}

// connectionsOf are the numbers of connections over which a load is measured.
func (o Options) connectionsOf(l load) counts {
	if len(o.Connections) > 0 {
		return o.Connections
	}
	return l.connections
}

// browser is what a browser sends; with the Host that wrk adds, 18 headers.
var browser = []string{
	"Connection: keep-alive",
	"Cache-Control: max-age=0",
	`sec-ch-ua: "Chromium";v="126", "Not.A/Brand";v="24"`,
	"sec-ch-ua-mobile: ?0",
	`sec-ch-ua-platform: "Linux"`,
	"DNT: 1",
	"Upgrade-Insecure-Requests: 1",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Sec-Fetch-Site: same-origin",
	"Sec-Fetch-Mode: navigate",
	"Sec-Fetch-User: ?1",
	"Sec-Fetch-Dest: document",
	"Referer: http://app.example/orders?page=2",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8",
	"Cookie: _session=b2xkIGNhdHMgYW5kIG5ldyBzcG90cyBpbiB0aGUgdGFsbCBncmFzcw%3D%3D--5e0f; theme=dark; seen=1718000000; consent=yes",
}

func loadNames() []string {
	names := make([]string, len(loads))
	for i, l := range loads {
		names[i] = l.name
	}
	return names
}

// loadNamed returns a load that is known to exist.
func loadNamed(name string) load {
	for _, l := range loads {
		if l.name == name {
			return l
		}
	}
	panic("no load " + name)
}
