package logs

import "strconv"

// AppendAccessJSON appends a line of JSON. Nothing is allocated when dst has the room.
//
//	{"time":"2026-11-22T18:00:00.123Z","level":"info","event":"request","remote":"127.0.0.1","method":"GET",…}
func AppendAccessJSON(dst []byte, a *Access) []byte {
	dst = appendJSONStart(dst, a.End, "info")
	dst = append(dst, `,"event":"request"`...)
	dst = appendJSONField(dst, `,"remote":`, a.Remote)
	dst = appendJSONString(append(dst, `,"method":`...), a.Method)
	dst = appendJSONString(append(dst, `,"target":`...), a.Target)
	dst = append(append(append(dst, `,"version":"`...), a.Proto...), '"')
	if a.Hijacked {
		dst = append(dst, `,"hijacked":true`...)
	}
	if a.Status != 0 {
		dst = strconv.AppendInt(append(dst, `,"status":`...), int64(a.Status), 10)
	}
	if a.Bytes >= 0 && !a.Hijacked {
		dst = strconv.AppendInt(append(dst, `,"bytes":`...), a.Bytes, 10)
	}
	dst = appendMillis(append(dst, `,"duration_ms":`...), a.Duration)
	dst = appendMillis(append(dst, `,"queue_ms":`...), a.Queue)
	if a.Proxy >= 0 {
		dst = appendMillis(append(dst, `,"proxy_ms":`...), a.Proxy)
	}
	if a.WorkerPID != 0 {
		dst = strconv.AppendInt(append(dst, `,"worker":`...), int64(a.Worker), 10)
		dst = strconv.AppendInt(append(dst, `,"worker_pid":`...), int64(a.WorkerPID), 10)
	}
	dst = appendJSONField(dst, `,"request_id":`, a.RequestID)
	dst = appendJSONField(dst, `,"referer":`, a.Referer)
	dst = appendJSONField(dst, `,"user_agent":`, a.UserAgent)
	if a.Aborted {
		dst = append(dst, `,"aborted":true`...)
	}
	return append(dst, "}\n"...)
}

func appendJSONField(dst []byte, key string, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	return appendJSONString(append(dst, key...), value)
}
