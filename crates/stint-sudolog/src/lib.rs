//! What sudo tells its log server, what sudo-rs tells the host's log, and what becomes of it. Pure: no I/O, no clock.
//!
//! - [`message`]: the messages, as sudo's own `sudo_logsrv.proto(5)` declares them; [`frame`]: their bytes on the wire and in a file;
//! - [`conversation`]: which message may come when, and what it means;
//! - [`command`]: what of a command is put on record;
//! - [`entry`]: one entry of systemd's journal; [`sudo_rs`]: what sudo-rs writes there of a command;
//! - [`recording`]: what a command printed, as a file that can be played back; [`replay`]: how it is shown again; [`screen`]: what of it
//!   an onlooker's terminal may get.
//!
//! ```
//! use stint_sudolog::conversation::{Conversation, Heard};
//! use stint_sudolog::message::{ClientHello, ClientKind, ClientMessage};
//!
//! let mut conversation = Conversation::default();
//! let hello = ClientKind::Hello(ClientHello { client_id: b"Sudo 1.9.13p3".to_vec() });
//! assert_eq!(conversation.hear(ClientMessage { kind: Some(hello) }), Ok(Heard::Hello));
//! ```
#![forbid(unsafe_code)]

pub mod command;
pub mod conversation;
pub mod entry;
pub mod frame;
pub mod message;
pub mod recording;
pub mod replay;
pub mod screen;
pub mod sudo_rs;
