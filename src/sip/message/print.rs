//! The printer. Content-Length is always computed and printed last.

use super::{Headers, Message, Request, Response};
use bytes::{BufMut, Bytes, BytesMut};

impl Request {
    /// Appends the request to `out`.
    pub fn write_to(&self, out: &mut impl BufMut) {
        out.put_slice(self.method.as_str().as_bytes());
        out.put_u8(b' ');
        self.uri.write_to(out);
        out.put_slice(b" SIP/2.0\r\n");
        write_rest(&self.headers, &self.body, out);
    }

    /// The request as bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(room(&self.headers, &self.body));
        self.write_to(&mut out);
        out.freeze()
    }
}

impl Response {
    /// Appends the response to `out`.
    pub fn write_to(&self, out: &mut impl BufMut) {
        out.put_slice(b"SIP/2.0 ");
        write_number(usize::from(self.status), out);
        out.put_u8(b' ');
        out.put_slice(&self.reason);
        out.put_slice(b"\r\n");
        write_rest(&self.headers, &self.body, out);
    }

    /// The response as bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(room(&self.headers, &self.body));
        self.write_to(&mut out);
        out.freeze()
    }
}

impl Message {
    /// Appends the message to `out`.
    pub fn write_to(&self, out: &mut impl BufMut) {
        match self {
            Message::Request(request) => request.write_to(out),
            Message::Response(response) => response.write_to(out),
        }
    }

    /// The message as bytes.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }
}

fn room(headers: &Headers, body: &Bytes) -> usize {
    headers.iter().map(|h| h.name.as_bytes().len() + h.value.len() + 4).sum::<usize>() + body.len() + 160
}

fn write_rest(headers: &Headers, body: &Bytes, out: &mut impl BufMut) {
    for header in headers.iter() {
        out.put_slice(header.name.as_bytes());
        out.put_slice(b": ");
        out.put_slice(&header.value);
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"Content-Length: ");
    write_number(body.len(), out);
    out.put_slice(b"\r\n\r\n");
    out.put_slice(body);
}

fn write_number(mut number: usize, out: &mut impl BufMut) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}
