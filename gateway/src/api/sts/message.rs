//! DecodeAuthorizationMessage, and the messages that it decodes: why a request was denied, sealed, so that who was denied learns
//! nothing from it and can show it to who may know.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html>

use super::{caller, parameters};
use crate::api::query::{Answer, Call, Code, Refusal, rules};
use crate::authz::{Context, message_purpose};

pub(super) fn decode_authorization_message(call: &Call<'_>) -> Result<Answer, Refusal> {
    caller::refuse_own_session(call)?;
    let encoded = rules::required(call.parameters, "EncodedMessage", parameters::ENCODED_MESSAGE)?;
    call.authorize("sts:DecodeAuthorizationMessage", "*", Context::new)?;
    let Some(decoded) = call.app.iam.open_text(&message_purpose(&call.identity.subject.account), encoded)
    else {
        let message = "Message is not valid";
        return Err(Refusal::new(Code::InvalidAuthorizationMessageException, message));
    };
    Ok(Answer::of(|xml| xml.text("DecodedMessage", &decoded)))
}
