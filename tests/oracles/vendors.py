"""The vendors' own Python libraries, each asked in its own way."""

import base64
import datetime
import json
import urllib.parse

CLOCK = [0]
ORACLES = {}


def oracle(name, package):
    """Registers a class with `verify` and perhaps `sign`; both take a request, and `sign` returns what it adds."""

    def register(cls):
        cls.package = package
        ORACLES[name] = cls
        return cls

    return register


class Request:
    """One request; header names are in lower case."""

    def __init__(self, message):
        self.secret = message.get("secret", "")
        self.now = message.get("now", 0)
        self.method = message.get("method", "POST")
        self.url = message.get("url", "")
        self.headers = message.get("headers", {})
        self.body = base64.b64decode(message.get("body_base64", ""))

    def text(self):
        """The body as text, which many libraries ask for. Not UTF-8 is an error, as in the frameworks around them."""
        return self.body.decode("utf-8")

    def header(self, name):
        return self.headers.get(name, "")

    def form(self):
        return Fields(urllib.parse.parse_qsl(self.body.decode("ascii"), keep_blank_values=True))


class Fields(dict):
    """A form with repeated names, as web frameworks give it to a library."""

    def __init__(self, pairs):
        super().__init__()
        for name, value in pairs:
            self.setdefault(name, []).append(value)

    def getlist(self, name):
        return self[name]


class Frozen(datetime.datetime):
    """The library's clock: the moment that the request names."""

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(CLOCK[0], tz)


def accepts(refusal, check, after_the_proof=()):
    """Runs `check`: `refusal` means no; `after_the_proof` are errors that a library raises once the signature is right."""
    try:
        check()
    except refusal:
        return False
    except after_the_proof:
        return True
    return True


@oracle("standardwebhooks-py", "standardwebhooks")
class StandardWebhooks:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")

    @staticmethod
    def library():
        from standardwebhooks import webhooks

        webhooks.datetime = Frozen
        return webhooks.Webhook, webhooks.WebhookVerificationError

    @classmethod
    def sign(cls, request):
        name, timestamp, signature = cls.names
        at = datetime.datetime.fromtimestamp(request.now, datetime.timezone.utc)
        webhook, _ = cls.library()
        signed = webhook(request.secret).sign(request.header(name), at, request.text())
        return {"headers": {timestamp: str(request.now), signature: signed}}

    @classmethod
    def verify(cls, request):
        webhook, refusal = cls.library()
        check = webhook(request.secret).verify
        return accepts(refusal, lambda: check(request.text(), request.headers, json_parse=False))


@oracle("svix", "svix")
class Svix(StandardWebhooks):
    names = ("svix-id", "svix-timestamp", "svix-signature")

    @staticmethod
    def library():
        from standardwebhooks import webhooks
        from svix.webhooks import Webhook, WebhookVerificationError

        webhooks.datetime = Frozen
        return Webhook, WebhookVerificationError

    @classmethod
    def verify(cls, request):
        webhook, refusal = cls.library()
        return accepts(refusal, lambda: webhook(request.secret).verify(request.text(), request.headers))


@oracle("stripe", "stripe")
class Stripe:
    @staticmethod
    def sign(request):
        from stripe import WebhookSignature

        signed = WebhookSignature.generate_signature_header(request.text(), request.secret, request.now)
        return {"headers": {"stripe-signature": signed}}

    @staticmethod
    def verify(request):
        from stripe import SignatureVerificationError, WebhookSignature

        header = request.header("stripe-signature")
        check = WebhookSignature.verify_header
        return accepts(SignatureVerificationError, lambda: check(request.body, header, request.secret, tolerance=300))


@oracle("slack", "slack_sdk")
class Slack:
    @staticmethod
    def verifier(request):
        from slack_sdk.signature import Clock, SignatureVerifier

        clock = Clock()
        clock.now = lambda: request.now
        return SignatureVerifier(request.secret, clock)

    @classmethod
    def sign(cls, request):
        timestamp = str(request.now)
        signed = cls.verifier(request).generate_signature(timestamp=timestamp, body=request.body)
        return {"headers": {"x-slack-request-timestamp": timestamp, "x-slack-signature": signed}}

    @classmethod
    def verify(cls, request):
        return cls.verifier(request).is_valid_request(request.body, request.headers)


@oracle("twilio-form", "twilio")
class TwilioForm:
    @staticmethod
    def content(request):
        return request.form()

    @classmethod
    def sign(cls, request):
        from twilio.request_validator import RequestValidator

        content = cls.content(request)
        params = {} if isinstance(content, str) else content
        signed = RequestValidator(request.secret).compute_signature(request.url, params)
        return {"headers": {"x-twilio-signature": signed}}

    @classmethod
    def verify(cls, request):
        from twilio.request_validator import RequestValidator

        validator = RequestValidator(request.secret)
        return validator.validate(request.url, cls.content(request), request.header("x-twilio-signature"))


@oracle("twilio-json", "twilio")
class TwilioJson(TwilioForm):
    @staticmethod
    def content(request):
        return request.text()


@oracle("viber", "viberbot")
class Viber:
    @staticmethod
    def api(request):
        from viberbot import Api, BotConfiguration

        return Api(BotConfiguration(name="hookgate", avatar="", auth_token=request.secret))

    @classmethod
    def verify(cls, request):
        return cls.api(request).verify_signature(request.body, request.header("x-viber-content-signature"))


@oracle("square", "squareup")
class Square:
    @staticmethod
    def verify(request):
        from square.utils.webhooks_helper import verify_signature

        return verify_signature(
            request_body=request.text(),
            signature_header=request.header("x-square-hmacsha256-signature"),
            signature_key=request.secret,
            notification_url=request.url,
        )


@oracle("adyen", "Adyen")
class Adyen:
    """Payments: the signature stands in the notification, and covers eight of its values."""

    @staticmethod
    def sign(request):
        from Adyen.util import generate_notification_sig

        notification = json.loads(request.text())
        item = notification["notificationItems"][0]["NotificationRequestItem"]
        signed = generate_notification_sig({**item, "additionalData": {}}, request.secret).decode()
        item["additionalData"]["hmacSignature"] = signed
        body = json.dumps(notification, ensure_ascii=False, separators=(",", ":")).encode()
        return {"headers": {}, "body_base64": base64.b64encode(body).decode()}

    @staticmethod
    def verify(request):
        from Adyen.util import is_valid_hmac_notification

        return bool(is_valid_hmac_notification(json.loads(request.text()), request.secret))


@oracle("adyen-platforms", "Adyen")
class AdyenPlatforms:
    @staticmethod
    def sign(request):
        from Adyen.util import generate_payload_sig

        return {"headers": {"hmacsignature": generate_payload_sig(request.body, request.secret).decode()}}

    @staticmethod
    def verify(request):
        from Adyen.util import is_valid_hmac_payload

        return is_valid_hmac_payload(request.header("hmacsignature"), request.secret, request.body)


@oracle("braintree", "braintree")
class Braintree:
    """The private key signs the field `bt_payload`; the public key names it."""

    PUBLIC_KEY = "integration_public_key"

    @classmethod
    def gateway(cls, request):
        from braintree import BraintreeGateway, Configuration, Environment

        return BraintreeGateway(Configuration(Environment.Sandbox, "merchant", cls.PUBLIC_KEY, request.secret))

    @classmethod
    def sign(cls, request):
        from braintree.util.crypto import Crypto

        payload = request.form()["bt_payload"][0]
        signed = f"{cls.PUBLIC_KEY}|{Crypto.sha1_hmac_hash(request.secret, payload.encode())}"
        body = urllib.parse.urlencode({"bt_signature": signed, "bt_payload": payload}).encode()
        return {"headers": {}, "body_base64": base64.b64encode(body).decode()}

    @classmethod
    def verify(cls, request):
        from braintree.exceptions.invalid_signature_error import InvalidSignatureError

        form = request.form()
        signature, payload = form["bt_signature"][0], form["bt_payload"][0].encode("ascii")
        parse = cls.gateway(request).webhook_notification.parse
        # What was signed need not be a notification: whatever is raised later comes after the proof.
        return accepts(InvalidSignatureError, lambda: parse(signature, payload), Exception)


@oracle("razorpay", "razorpay")
class Razorpay:
    @staticmethod
    def verify(request):
        from razorpay import Utility
        from razorpay.errors import SignatureVerificationError

        check = Utility().verify_webhook_signature
        signature = request.header("x-razorpay-signature")
        return accepts(SignatureVerificationError, lambda: check(request.text(), signature, request.secret))


@oracle("gocardless", "gocardless_pro")
class GoCardless:
    @staticmethod
    def verify(request):
        from gocardless_pro import webhooks
        from gocardless_pro.errors import InvalidSignatureError

        signature = request.header("webhook-signature")
        # The events are read after the signature: any other error means that it was right.
        return accepts(
            InvalidSignatureError, lambda: webhooks.parse(request.body, request.secret, signature), Exception
        )


@oracle("box", "boxsdk")
class Box:
    signature = "box-signature-primary"

    @staticmethod
    def keys(request):
        return {"primary_key": request.secret}

    @classmethod
    def sign(cls, request):
        from box_sdk_gen.internal.utils import compute_webhook_signature

        at = datetime.datetime.fromtimestamp(request.now, datetime.timezone.utc)
        added = {
            "box-delivery-timestamp": at.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
            "box-signature-version": "1",
            "box-signature-algorithm": "HmacSHA256",
        }
        added[cls.signature] = compute_webhook_signature(request.text(), added, request.secret)
        return {"headers": added}

    @classmethod
    def verify(cls, request):
        from box_sdk_gen.managers.webhooks import WebhooksManager

        return WebhooksManager.validate_message(request.text(), request.headers, **cls.keys(request))


@oracle("box-secondary", "boxsdk")
class BoxSecondary(Box):
    """The second key, in a header of its own, while the first one is another."""

    signature = "box-signature-secondary"

    @staticmethod
    def keys(request):
        return {"primary_key": "another key", "secondary_key": request.secret}


@oracle("airtable", "pyairtable")
class Airtable:
    @staticmethod
    def verify(request):
        from pyairtable.models.webhook import WebhookNotification
        from pydantic import ValidationError

        header = request.header("x-airtable-content-mac")
        check = WebhookNotification.from_request
        # pydantic's error is a ValueError too, and comes after the proof.
        try:
            check(request.body.decode("ascii"), header, request.secret)
        except ValidationError:
            return True
        except UnicodeDecodeError:
            raise
        except ValueError:
            return False
        return True


@oracle("plivo-v2", "plivo")
class PlivoV2:
    @staticmethod
    def verify(request):
        from plivo.utils import validate_signature

        nonce, signature = (request.header("x-plivo-signature-v2" + end) for end in ("-nonce", ""))
        return validate_signature(request.url, nonce, signature, request.secret)


@oracle("plivo-v3", "plivo")
class PlivoV3:
    @staticmethod
    def params(request):
        single = lambda values: values[0] if len(values) == 1 else values
        return {name: single(values) for name, values in request.form().items()}

    @classmethod
    def sign(cls, request):
        from plivo.utils import signature_v3

        if request.method == "GET":
            signed = signature_v3.construct_get_url(request.url, {})
        else:
            signed = signature_v3.construct_post_url(request.url, cls.params(request))
        nonce = request.header("x-plivo-signature-v3-nonce").encode()
        signature = signature_v3.get_signature_v3(request.secret.encode(), signed.decode(), nonce)
        return {"headers": {"x-plivo-signature-v3": signature.decode()}}

    @classmethod
    def verify(cls, request):
        from plivo.utils import validate_v3_signature

        nonce, signature = (request.header("x-plivo-signature-v3" + end) for end in ("-nonce", ""))
        params = {} if request.method == "GET" else cls.params(request)
        return validate_v3_signature(request.method, request.url, nonce, request.secret, signature, params)


@oracle("elevenlabs", "elevenlabs")
class ElevenLabs:
    @staticmethod
    def verify(request):
        from elevenlabs.errors import BadRequestError
        from elevenlabs.webhooks_custom import WebhooksClient

        client = WebhooksClient.__new__(WebhooksClient)
        header = request.header("elevenlabs-signature")
        check = lambda: client.construct_event(request.text(), header, request.secret)
        return accepts(BadRequestError, check, json.JSONDecodeError)
