//! A web server that misbehaves on purpose: each test says how to answer each request.
//!
//! ```text
//!   FaultServer::start(|request| Answer::of(request, &content).cut_after(8 << 20))
//! ```
//! [`Answer::of`] answers as a good server would (ranges, If-Range, validators); the other methods spoil it.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The entity tag that good answers have.
pub(crate) const TAG: &str = "\"v1\"";

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// How many requests came before it, over all connections.
    pub(crate) number: usize,
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The asked range, cut to `length`; `None` if there is none or it lies beyond.
    pub(crate) fn range(&self, length: usize) -> Option<Range<usize>> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let end = last.parse().map_or(length, |last: usize| length.min(last + 1));
        Some(first.parse().ok()?..end).filter(|range| range.start < range.end)
    }
}

/// What to send, and how to spoil it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut_after: Option<usize>,
    pause: Option<(usize, Duration)>,
    chunked: bool,
}

impl Answer {
    /// As a good server answers for this content.
    pub(crate) fn of(request: &Request, content: &[u8]) -> Self {
        let current = request.header("if-range").is_none_or(|validator| validator == TAG);
        let mut answer = match request.range(content.len()).filter(|_| current) {
            Some(range) => {
                let value = format!("bytes {}-{}/{}", range.start, range.end - 1, content.len());
                Self::new("206 Partial Content", &content[range]).with("Content-Range", &value)
            }
            None if request.header("range").is_some() && current => {
                Self::new("416 Range Not Satisfiable", b"").with("Content-Range", &format!("bytes */{}", content.len()))
            }
            None => Self::new("200 OK", content),
        };
        answer = answer.with("ETag", TAG).with("Accept-Ranges", "bytes");
        answer
    }

    pub(crate) fn new(status: &'static str, body: &[u8]) -> Self {
        let headers = vec![("Content-Length".to_owned(), body.len().to_string())];
        Self { status, headers, body: body.to_vec(), cut_after: None, pause: None, chunked: false }
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::new("302 Found", b"over there").with("Location", to)
    }

    /// Sets a header in place of the one of that name.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        let mut answer = self.without(name);
        answer.headers.push((name.to_owned(), value.to_owned()));
        answer
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    /// Sends chunks of no stated total.
    pub(crate) fn chunked(self) -> Self {
        let mut answer = self.without("Content-Length").with("Transfer-Encoding", "chunked");
        answer.chunked = true;
        answer
    }

    /// Closes the connection after this many bytes of the body, if it has as many.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// Sends nothing for a time after this many bytes of the body.
    pub(crate) fn pause_after(mut self, bytes: usize, pause: Duration) -> Self {
        self.pause = Some((bytes, pause));
        self
    }

    /// Sends more or other bytes than the head promises.
    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// Returns whether the connection may be used again.
    fn send(&self, stream: &mut TcpStream) -> std::io::Result<bool> {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status);
        self.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        stream.write_all((head + "\r\n").as_bytes())?;
        let sent = self.cut_after.map_or(self.body.len(), |cut| cut.min(self.body.len()));
        let (before, pause) = self.pause.map_or((sent, Duration::ZERO), |(after, pause)| (after.min(sent), pause));
        self.write_body(stream, &self.body[..before])?;
        std::thread::sleep(pause);
        self.write_body(stream, &self.body[before..sent])?;
        if self.chunked && sent == self.body.len() {
            stream.write_all(b"0\r\n\r\n")?;
        }
        let is_framed = self.chunked || self.headers.iter().any(|(name, _)| name == "Content-Length");
        Ok(is_framed && self.cut_after.is_none_or(|cut| cut > self.body.len()))
    }

    fn write_body(&self, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        if !self.chunked {
            return stream.write_all(bytes);
        }
        for chunk in bytes.chunks(100_000) {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
            stream.write_all(chunk)?;
            stream.write_all(b"\r\n")?;
        }
        Ok(())
    }
}

/// The server; its threads end with the test's process.
pub(crate) struct FaultServer {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
}

impl FaultServer {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let server =
            Self { port: listener.local_addr().unwrap().port(), seen: Arc::default(), connections: Arc::default() };
        let (seen, connections, answer) = (Arc::clone(&server.seen), Arc::clone(&server.connections), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                connections.fetch_add(1, Ordering::SeqCst);
                // A client that hangs up is what many tests are about.
                std::thread::spawn(move || stream.and_then(|stream| converse(stream, &seen, &*answer)));
            }
        });
        server
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// All requests so far, in order of arrival.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn converse(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request) -> Answer,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    while let Some(mut request) = receive(&mut input)? {
        {
            let mut seen = seen.lock().unwrap();
            request.number = seen.len();
            seen.push(request.clone());
        }
        if !answer(&request).send(&mut stream)? {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

fn receive(input: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines[0].split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let headers = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok(Some(Request { number: 0, method, path, headers: headers.collect() }))
}
