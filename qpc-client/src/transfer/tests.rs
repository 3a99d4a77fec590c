//! Transfers against a server that a test has: cut off, gone on with, refused, lied to.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{collections::VecDeque, io::Cursor};

use qpc_proto::{error::Code, v1};

use super::*;
use crate::blob::{Checker, Key, Opener, Sealer};

/// What a server does with blobs, and where it breaks off.
#[derive(Default)]
struct Server {
    parts: Vec<Option<Vec<u8>>>,
    size: u64,
    complete: bool,
    /// Requests that are still served on this connection.
    left: usize,
    answers: VecDeque<Outcome>,
    begun: usize,
    most_in_flight: usize,
    uploaded: usize,
    /// Given instead of what is there.
    lie: Option<fn(&mut v1::ReadBlobAnswer)>,
}

impl Server {
    fn with(blob: &[u8]) -> Self {
        let parts = blob.chunks(BLOB_PART).map(|part| Some(part.to_vec())).collect();
        Self { parts, size: blob.len() as u64, complete: true, left: usize::MAX, ..Self::default() }
    }

    fn whole(&self) -> Vec<u8> {
        self.parts.iter().flatten().flatten().copied().collect()
    }

    fn serve(&mut self, method: Method) -> Outcome {
        match method {
            Method::BeginUpload(begin) => {
                self.begun += 1;
                self.size = begin.size;
                self.parts.resize(usize::try_from(begin.size.div_ceil(PART)).unwrap(), None);
                let parts = self.parts.iter().take_while(|part| part.is_some()).count();
                Outcome::BeginUpload(v1::BeginUploadAnswer {
                    parts: u32::try_from(parts).unwrap(),
                    complete: self.complete,
                })
            }
            Method::UploadPart(part) => {
                self.uploaded += 1;
                self.parts[part.number as usize] = Some(part.data.to_vec());
                Outcome::UploadPart(v1::UploadPartAnswer {})
            }
            Method::FinishUpload(finish) => {
                let digest = finish.blob.unwrap().digest;
                if self.parts.iter().any(Option::is_none) {
                    return refusal(Code::PartsMissing);
                }
                if digest != blake3::hash(&self.whole()).as_bytes()[..] {
                    self.parts.clear();
                    return refusal(Code::DigestDiffers);
                }
                self.complete = true;
                Outcome::FinishUpload(v1::FinishUploadAnswer {})
            }
            Method::ReadBlob(read) => {
                let whole = self.whole();
                let begin = usize::try_from(read.offset).unwrap();
                let end = whole.len().min(begin + read.length as usize);
                let data = whole[begin..end].to_vec();
                let mut answer = v1::ReadBlobAnswer { size: self.size, data: data.into() };
                if let Some(lie) = self.lie {
                    lie(&mut answer);
                }
                Outcome::ReadBlob(answer)
            }
            _ => refusal(Code::UnknownMethod),
        }
    }
}

fn refusal(code: Code) -> Outcome {
    Outcome::Error(v1::Error { code: code as u32, ..Default::default() })
}

impl Pipe for Server {
    async fn ask(&mut self, method: Method) -> Result<(), CallError> {
        self.left = self.left.checked_sub(1).ok_or(CallError::Protocol("cut off"))?;
        let answer = self.serve(method);
        self.answers.push_back(answer);
        self.most_in_flight = self.most_in_flight.max(self.answers.len());
        Ok(())
    }

    async fn answer(&mut self) -> Result<Outcome, CallError> {
        self.answers.pop_front().ok_or(CallError::Protocol("nothing was asked"))
    }
}

struct File {
    key: Key,
    size: u64,
    blob: Vec<u8>,
    named: v1::Blob,
}

fn file(size: u32) -> File {
    let plain: Vec<u8> = (0..size).map(|n| u8::try_from(n % 253).unwrap()).collect();
    let key = Key::of_bytes([4; 32]);
    let mut sealer = Sealer::new(&key, plain.len() as u64).unwrap();
    let (mut rest, mut blob) = (&plain[..], Vec::new());
    while let Some(chunk) = sealer.next(&mut rest).unwrap() {
        blob.extend_from_slice(chunk);
    }
    let named = v1::Blob { conversation: None, digest: sealer.digest().to_vec().into() };
    File { key, size: size.into(), blob, named }
}

async fn send(server: &mut Server, file: &File, served: usize) -> Result<(), TransferError> {
    server.left = served;
    server.answers.clear();
    let mut last = 0;
    let told = |done| {
        assert!(done >= last, "what is there stays there");
        last = done;
    };
    upload(server, &file.named, file.blob.len() as u64, &mut Cursor::new(&file.blob), told).await
}

#[tokio::test]
async fn an_upload_that_is_cut_off_anywhere_goes_on_where_it_was() {
    let file = file(5_000_000);
    let parts = file.blob.len().div_ceil(BLOB_PART);
    for cut in 0..parts + 2 {
        let mut server = Server::default();
        assert!(send(&mut server, &file, cut).await.is_err(), "cut after {cut}");
        send(&mut server, &file, usize::MAX).await.unwrap();
        assert!(server.whole() == file.blob && server.complete);
        assert_eq!(server.uploaded, parts, "nothing is sent twice: cut after {cut}");
    }
}

#[tokio::test]
async fn few_parts_are_in_flight_and_what_is_there_is_not_sent() {
    let file = file(5_000_000);
    let mut server = Server::default();
    send(&mut server, &file, usize::MAX).await.unwrap();
    assert_eq!(server.most_in_flight, 4);
    let sent = server.uploaded;
    send(&mut server, &file, usize::MAX).await.unwrap();
    assert_eq!((server.uploaded, server.begun), (sent, 2));
}

#[tokio::test]
async fn a_spool_that_was_altered_is_refused_by_its_digest() {
    let mut file = file(300_000);
    file.blob[5] ^= 1;
    let refused = send(&mut Server::default(), &file, usize::MAX).await;
    assert!(matches!(refused, Err(TransferError::Call(error)) if error.code() == Some(Code::DigestDiffers)));
    file.blob.truncate(10);
    let mut server = Server { left: usize::MAX, ..Server::default() };
    let mut short = Cursor::new(&file.blob);
    let cut = upload(&mut server, &file.named, 300_000, &mut short, |_| {}).await;
    assert!(matches!(cut, Err(TransferError::File(_))));
}

/// Fetches on, with what is in `part`.
async fn fetch(server: &mut Server, file: &File, part: &mut Vec<u8>) -> Result<[u8; 32], TransferError> {
    server.answers.clear();
    let opener = Opener::new(&file.key, file.size, file.blob.len() as u64).unwrap();
    let mut checker = Checker::new(&opener);
    assert!(checker.push(part));
    let span = (part.len() as u64, file.blob.len() as u64);
    download(server, &file.named, span, &mut checker, part, |_| {}).await?;
    assert!(checker.is_whole());
    Ok(checker.digest())
}

#[tokio::test]
async fn a_download_that_is_cut_off_anywhere_goes_on_where_it_was() {
    let file = file(3_000_000);
    for cut in 0..file.blob.len().div_ceil(BLOB_PART) {
        let mut server = Server { left: cut, ..Server::with(&file.blob) };
        let mut part = Vec::new();
        assert!(fetch(&mut server, &file, &mut part).await.is_err());
        let first = part.len();
        server.left = usize::MAX;
        let digest = fetch(&mut server, &file, &mut part).await.unwrap();
        assert!(part == file.blob && digest == file.named.digest[..], "cut after {cut}, with {first} there");
        assert_eq!(server.most_in_flight.max(3), 3);
    }
}

#[tokio::test]
async fn what_a_server_makes_up_is_not_kept() {
    let file = file(3_000_000);
    let lies: [fn(&mut v1::ReadBlobAnswer); 4] = [
        |answer| answer.size += 1,
        |answer| answer.data = answer.data.slice(1..),
        |answer| answer.data = vec![0; answer.data.len()].into(),
        |answer| answer.data = vec![0; answer.data.len() + 1].into(),
    ];
    for lie in lies {
        let mut server = Server { lie: Some(lie), ..Server::with(&file.blob) };
        let mut part = Vec::new();
        assert!(matches!(fetch(&mut server, &file, &mut part).await, Err(TransferError::Damaged)));
        assert!(part.is_empty());
    }
}

#[tokio::test]
async fn a_refusal_is_told_as_it_is() {
    let mut server = Server { left: usize::MAX, ..Server::default() };
    let file = file(10);
    server.answers.push_back(refusal(Code::NotFound));
    let refused = upload(&mut server, &file.named, 272, &mut Cursor::new(&file.blob), |_| {}).await;
    assert!(matches!(refused, Err(TransferError::Call(error)) if error.code() == Some(Code::NotFound)));
}
