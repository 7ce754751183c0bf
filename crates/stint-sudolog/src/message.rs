//! The messages of sudo's log server protocol.
//!
//! Texts are declared as bytes, which look the same on the wire: sudo does not check that what a user typed is UTF-8, and a command must
//! not escape the record by a byte that is not.

#![allow(missing_docs, reason = "the names are those of sudo_logsrv.proto(5), which explains each")]

use prost::{Message, Oneof};

/// What sudo says.
#[derive(Clone, PartialEq, Message)]
pub struct ClientMessage {
    #[prost(oneof = "ClientKind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub kind: Option<ClientKind>,
}

/// One of the things that sudo says.
#[derive(Clone, PartialEq, Oneof)]
pub enum ClientKind {
    #[prost(message, tag = "1")]
    Accept(AcceptMessage),
    #[prost(message, tag = "2")]
    Reject(RejectMessage),
    #[prost(message, tag = "3")]
    Exit(ExitMessage),
    #[prost(message, tag = "4")]
    Restart(RestartMessage),
    #[prost(message, tag = "5")]
    Alert(AlertMessage),
    #[prost(message, tag = "6")]
    TtyIn(IoBuffer),
    #[prost(message, tag = "7")]
    TtyOut(IoBuffer),
    #[prost(message, tag = "8")]
    Stdin(IoBuffer),
    #[prost(message, tag = "9")]
    Stdout(IoBuffer),
    #[prost(message, tag = "10")]
    Stderr(IoBuffer),
    #[prost(message, tag = "11")]
    WindowSize(ChangeWindowSize),
    #[prost(message, tag = "12")]
    Suspend(CommandSuspend),
    #[prost(message, tag = "13")]
    Hello(ClientHello),
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct TimeSpec {
    #[prost(int64, tag = "1")]
    pub tv_sec: i64,
    #[prost(int32, tag = "2")]
    pub tv_nsec: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct IoBuffer {
    #[prost(message, optional, tag = "1")]
    pub delay: Option<TimeSpec>,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct InfoMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(oneof = "InfoValue", tags = "2, 3, 4, 5")]
    pub value: Option<InfoValue>,
}

/// The value of an [`InfoMessage`].
#[derive(Clone, PartialEq, Oneof)]
pub enum InfoValue {
    #[prost(int64, tag = "2")]
    Number(i64),
    #[prost(bytes, tag = "3")]
    Text(Vec<u8>),
    #[prost(message, tag = "4")]
    Texts(StringList),
    #[prost(message, tag = "5")]
    Numbers(NumberList),
}

#[derive(Clone, PartialEq, Message)]
pub struct StringList {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub strings: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct NumberList {
    #[prost(int64, repeated, tag = "1")]
    pub numbers: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AcceptMessage {
    #[prost(message, optional, tag = "1")]
    pub submit_time: Option<TimeSpec>,
    #[prost(message, repeated, tag = "2")]
    pub info_msgs: Vec<InfoMessage>,
    #[prost(bool, tag = "3")]
    pub expect_iobufs: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct RejectMessage {
    #[prost(message, optional, tag = "1")]
    pub submit_time: Option<TimeSpec>,
    #[prost(bytes = "vec", tag = "2")]
    pub reason: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub info_msgs: Vec<InfoMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ExitMessage {
    #[prost(message, optional, tag = "1")]
    pub run_time: Option<TimeSpec>,
    #[prost(int32, tag = "2")]
    pub exit_value: i32,
    #[prost(bool, tag = "3")]
    pub dumped_core: bool,
    #[prost(bytes = "vec", tag = "4")]
    pub signal: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub error: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AlertMessage {
    #[prost(message, optional, tag = "1")]
    pub alert_time: Option<TimeSpec>,
    #[prost(bytes = "vec", tag = "2")]
    pub reason: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub info_msgs: Vec<InfoMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub struct RestartMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub log_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub resume_point: Option<TimeSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ChangeWindowSize {
    #[prost(message, optional, tag = "1")]
    pub delay: Option<TimeSpec>,
    #[prost(int32, tag = "2")]
    pub rows: i32,
    #[prost(int32, tag = "3")]
    pub cols: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct CommandSuspend {
    #[prost(message, optional, tag = "1")]
    pub delay: Option<TimeSpec>,
    #[prost(bytes = "vec", tag = "2")]
    pub signal: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ClientHello {
    #[prost(bytes = "vec", tag = "1")]
    pub client_id: Vec<u8>,
}

/// What the server says.
#[derive(Clone, PartialEq, Message)]
pub struct ServerMessage {
    #[prost(oneof = "ServerKind", tags = "1, 2, 3, 4, 5")]
    pub kind: Option<ServerKind>,
}

/// One of the things that the server says.
#[derive(Clone, PartialEq, Oneof)]
pub enum ServerKind {
    #[prost(message, tag = "1")]
    Hello(ServerHello),
    #[prost(message, tag = "2")]
    CommitPoint(TimeSpec),
    #[prost(string, tag = "3")]
    LogId(String),
    #[prost(string, tag = "4")]
    Error(String),
    #[prost(string, tag = "5")]
    Abort(String),
}

#[derive(Clone, PartialEq, Message)]
pub struct ServerHello {
    #[prost(string, tag = "1")]
    pub server_id: String,
    #[prost(string, tag = "2")]
    pub redirect: String,
    #[prost(string, repeated, tag = "3")]
    pub servers: Vec<String>,
    #[prost(bool, tag = "4")]
    pub subcommands: bool,
}
