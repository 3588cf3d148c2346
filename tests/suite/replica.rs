//! A replica of an API on a port of its own: real HTTP, whatever it says, and however badly.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a replica answers: status line with further headers, and body.
pub type Page = (String, Vec<u8>);

/// Writes an answer to a request, whose head is given.
type Manner = Box<dyn FnMut(&str, &mut TcpStream) + Send>;

/// A replica of an API, whose answers a test changes while it runs.
#[derive(Clone)]
pub struct Replica {
    pub address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    /// The heads of all requests so far.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Replica {
    /// One that answers a path with a page.
    pub fn new(answer: impl Fn(&str) -> Page + Send + 'static) -> Self {
        Self::mannered(paged(answer))
    }

    /// One that answers as it likes.
    pub fn mannered(manner: impl FnMut(&str, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let replica = Self {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(Box::new(manner))),
            asked: Arc::default(),
        };
        let served = replica.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                thread::spawn(move || served.serve(stream));
            }
        });
        replica
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let head = head.join("\n");
        self.asked.lock().unwrap().push(head.clone());
        (self.manner.lock().unwrap())(&head, &mut stream);
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn change(&self, answer: impl Fn(&str) -> Page + Send + 'static) {
        *self.manner.lock().unwrap() = Box::new(paged(answer));
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn paged(answer: impl Fn(&str) -> Page + Send) -> impl FnMut(&str, &mut TcpStream) + Send {
    move |head, to| {
        let (status, body) = answer(head.split(' ').nth(1).unwrap_or_default());
        write(to, &status, &body);
    }
}

/// Writes a whole answer. A client that has seen enough hangs up.
pub fn write(to: &mut TcpStream, status: &str, body: &[u8]) {
    let length = body.len();
    let _ = write!(
        to,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _ = to.write_all(body);
}
