//! What the courier and the warden say to each other over `/run/stint/courier.sock`: lines of JSON, both ways.
//!
//! The courier connects and carries; the warden believes nothing of what it brings but what is signed.

use serde::{Deserialize, Serialize};
use stint_api::audit::ShipRecords;
use stint_api::hosts::HostUpdate;
use stint_api::recordings::RecordingHeld;

/// Where the courier meets the warden (stream; root and group `stint`).
pub(crate) const COURIER_SOCKET: &str = "/run/stint/courier.sock";
/// The longest line, in bytes: the largest update that a broker makes, and what wraps it here.
pub(crate) const MAX_LINE_BYTES: usize = stint_api::hosts::MAX_UPDATE_BYTES + 1024 * 1024;

/// From the courier to the warden.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ToWarden {
    /// A whole update as the broker sent it.
    Update(Box<HostUpdate>),
    /// The envelope of a newer pulse for the bundle at hand.
    Pulse(String),
    /// The envelope in which the broker says what it holds of the journal: asked after each connection, and the answer to each shipment.
    HighWater(String),
    /// Whether the stream to the broker is open.
    Connected(bool),
    /// What the broker holds of a recording: the answer to each part.
    RecordingHeld {
        /// Which.
        run: String,
        /// What it said.
        held: RecordingHeld,
    },
    /// The broker read a part of a recording, and will not take it.
    RecordingRefused {
        /// Which.
        run: String,
        /// Why.
        cause: String,
    },
}

/// From the warden to the courier.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ToCourier {
    /// A signed acknowledgement for `POST /v1/host/ack`: the envelope's text.
    Acknowledge(String),
    /// Records for `POST /v1/host/audit`.
    Ship(ShipRecords),
    /// An update was refused as a whole: the courier asks for a new one after a pause.
    Refused(String),
    /// A part of a recording for `PUT /v1/host/recordings/{run}`. The warden alone says which: the courier names no file.
    Recording(RecordingPart),
}

/// A part of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordingPart {
    /// The run, as the journal names it.
    pub(crate) run: String,
    /// Where it begins in the recording.
    pub(crate) at: u64,
    /// The bytes, in base64; empty to ask what the broker holds.
    pub(crate) data: String,
}
