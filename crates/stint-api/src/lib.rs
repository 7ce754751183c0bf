//! Types on the wire between broker, courier and clients.
//!
//! Plain data only: signed documents travel as the text that was signed, and what they mean is said in `stint-grant`. Times are unix
//! seconds, lengths of time are seconds. [`client::Client`] is the one typed client for people's tools; [`tls`] holds the pinned trust
//! that both the client and the courier use.
//!
//! # The routes
//!
//! Errors are [`ApiError`] as JSON with a fitting status. People send `Authorization: Bearer TOKEN`; hosts come with their client
//! certificate.
//!
//! | Call | Takes | Answers |
//! |---|---|---|
//! | `GET /v1/health` | | [`people::Health`], no sign-in |
//! | `GET /v1/openapi.json` | | the description of all this, no sign-in |
//! | `POST /v1/session` | [`people::SignIn`] | [`people::SignedIn`] |
//! | `POST /v1/session/renew` | | [`people::SignedIn`] |
//! | `DELETE /v1/session` | | 204 |
//! | `GET /v1/me`, `POST /v1/me/password` | [`people::ChangePassword`] | [`people::Me`]; 204 |
//! | `GET /v1/users`, `POST /v1/users` | [`people::NewUser`] | list of [`people::UserView`]; [`people::NewUserSecrets`] |
//! | `PATCH /v1/users/{name}` | [`people::ChangeUser`] | [`people::UserView`] |
//! | `POST /v1/users/{name}/reset` | | [`people::NewUserSecrets`] |
//! | `GET /v1/root`, `PUT /v1/root` | [`people::NextRoot`] | [`people::RootChain`] (`GET` without sign-in) |
//! | `GET /v1/roster`, `PUT /v1/roster` | [`people::RosterDocument`] | [`people::RosterDocument`] |
//! | `GET /v1/entitlements` | | list of [`people::EntitlementView`]: what the caller may request |
//! | `POST /v1/requests` | [`requests::NewRequest`] | [`requests::RequestView`] |
//! | `GET /v1/requests?state=S` | | list of [`requests::RequestView`], newest first |
//! | `GET /v1/requests/{id}?wait_version=N` | | [`requests::RequestView`] |
//! | `POST /v1/requests/{id}/reviews` | [`requests::NewReview`] | [`requests::RequestView`] |
//! | `POST /v1/requests/{id}/cancel` | | [`requests::RequestView`] |
//! | `GET /v1/grants?state=S` | | list of [`grants::GrantView`], newest first |
//! | `GET /v1/grants/{id}?wait_version=N` | | [`grants::GrantView`] |
//! | `POST /v1/grants/{id}/activate`, `.../end` | | [`grants::GrantView`] |
//! | `POST /v1/grants/{id}/revoke` | [`grants::Revoke`] | [`grants::GrantView`] |
//! | `POST /v1/grants/{id}/extend` | [`grants::Extend`] | [`grants::GrantView`] |
//! | `POST /v1/grants/{id}/certificate` | [`grants::NewCertificate`] | [`grants::CertificateView`] |
//! | `GET /v1/locks`, `POST /v1/locks` | [`locks::NewLock`] | list of [`locks::LockView`]; [`locks::LockView`] |
//! | `GET /v1/locks/{id}`, `DELETE /v1/locks/{id}` | | [`locks::LockView`]; 204 |
//! | `GET /v1/hosts`, `GET /v1/hosts/{name}` | | list of [`hosts::HostView`]; [`hosts::HostView`] |
//! | `POST /v1/hosts/join` | [`hosts::InviteHost`] | [`hosts::Invitation`] |
//! | `GET /v1/audit/hosts/{host}?from=N&limit=M&epoch=E` | | [`audit::JournalPage`] |
//! | `GET /v1/recordings?host=H&grant=G&run=R&limit=M` | | list of [`recordings::RecordingView`], newest first |
//! | `GET /v1/recordings/{host}/{run}` | | the recording's bytes |
//! | `GET /v1/events?from=N&limit=M` | | list of [`audit::EventView`], oldest first |
//! | `POST /v1/host/enroll` | DSSE of [`hosts::EnrollRequest`] | [`hosts::Enrolled`], no client certificate |
//! | `POST /v1/host/renew` | [`hosts::Renew`] | [`hosts::Renewed`] |
//! | `GET /v1/host/stream` | | server-sent events `update` ([`hosts::HostUpdate`]) and `pulse` (an envelope) |
//! | `GET /v1/host/update` | | [`hosts::HostUpdate`] |
//! | `POST /v1/host/ack` | DSSE of [`hosts::Acknowledgement`] | 204 |
//! | `GET /v1/host/audit`, `POST /v1/host/audit` | [`audit::ShipRecords`] | [`audit::SignedMark`] |
//! | `PUT /v1/host/recordings/{run}?at=N` | the bytes from `N` on | [`recordings::RecordingHeld`] |

#![forbid(unsafe_code)]

pub mod audit;
pub mod client;
pub mod error;
pub mod grants;
pub mod hosts;
pub mod locks;
pub mod people;
pub mod recordings;
pub mod requests;
pub mod tls;
pub mod token;

pub use error::ApiError;
