//! Server-sent events, as far as tickets need them (WHATWG HTML, 9.2.6).

/// Longest line that is read; a longer one is dropped.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// Id of the newest event so far, for `Last-Event-ID`.
    pub id: Option<String>,
    /// Type; empty for the default.
    pub event: String,
    /// The data lines, joined by line feeds.
    pub data: String,
}

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
pub struct SseReader {
    line: Vec<u8>,
    is_too_long: bool,
    next: SseEvent,
}

impl SseReader {
    /// Takes the next bytes of the stream; returns the events that they complete. Comments and empty events pass
    /// unnoticed.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => events.extend(self.end_line()),
                b'\r' => {}
                _ if self.line.len() == LINE_BYTES_MAX => self.is_too_long = true,
                byte => self.line.push(*byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_too_long) {
            return None;
        }
        if line.is_empty() {
            let event = self.next.clone();
            self.next = SseEvent { id: event.id.clone(), ..SseEvent::default() };
            return (!event.data.is_empty()).then_some(event);
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.next.id = Some(value.to_owned()),
            "event" => self.next.event = value.to_owned(),
            "data" if self.next.data.len() + value.len() < LINE_BYTES_MAX => {
                if !self.next.data.is_empty() {
                    self.next.data.push('\n');
                }
                self.next.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_the_bytes_are_cut() {
        let stream = ": hello\n\nid: 7\r\nevent: ticket\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata:x\n\nevent: empty\n\n";
        for cut in 1..stream.len() {
            let mut reader = SseReader::default();
            let events: Vec<_> = stream.as_bytes().chunks(cut).flat_map(|chunk| reader.take(chunk)).collect();
            let first = SseEvent { id: Some("7".into()), event: "ticket".into(), data: "{\"a\":\n1}".into() };
            let second = SseEvent { id: Some("7".into()), event: String::new(), data: "x".into() };
            assert_eq!(events, [first, second], "cut every {cut} bytes");
        }
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut reader = SseReader::default();
        for _ in 0..100 {
            assert!(reader.take(&[b'a'; 10_000]).is_empty());
        }
        assert!(reader.line.len() <= LINE_BYTES_MAX);
        assert_eq!(reader.take(b"\ndata: y\n\n").len(), 1);
    }
}
