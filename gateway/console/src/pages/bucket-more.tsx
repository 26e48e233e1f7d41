/** Settings of a bucket that are asked for seldom: access by tags, and what is recorded for tools that ask for it. */
import * as sdk from "@aws-sdk/client-s3";
import { s3 } from "../session";
import { Card, Check, Load, toastError, useLoad } from "../ui/core";
import { saved, type TabProps } from "./bucket";

export function More({ Bucket }: TabProps) {
  const now = useLoad(async () => {
    const client = await s3();
    const [abac, payment, acceleration] = await Promise.all([
      client.send(new sdk.GetBucketAbacCommand({ Bucket })),
      client.send(new sdk.GetBucketRequestPaymentCommand({ Bucket })),
      client.send(new sdk.GetBucketAccelerateConfigurationCommand({ Bucket })),
    ]);
    return { abac: abac.AbacStatus?.Status === "Enabled", paid: payment.Payer === "Requester", accelerated: acceleration.Status === "Enabled" };
  }, []);
  const put = (command: (on: boolean) => any) => async (on: boolean) => saved((await s3()).send(command(on)), now).catch(toastError);
  const abac = put((on) => new sdk.PutBucketAbacCommand({ Bucket, AbacStatus: { Status: on ? "Enabled" : "Disabled" } }));
  const payment = put((on) => new sdk.PutBucketRequestPaymentCommand({ Bucket, RequestPaymentConfiguration: { Payer: on ? "Requester" : "BucketOwner" } }));
  const acceleration = put((on) => new sdk.PutBucketAccelerateConfigurationCommand({ Bucket, AccelerateConfiguration: { Status: on ? "Enabled" : "Suspended" } }));
  return (
    <Load of={now}>
      {(is) => (
        <>
          <Card title="Access by tags">
            <Check label="Policies may ask for the bucket's tags" checked={is.abac} onChange={abac} hint="Attribute-based access control: aws:ResourceTag conditions hold for this bucket. Its tags are changed by TagResource alone then." />
          </Card>
          <Card title="Recorded, without effect">
            <div class="stack">
              <Check label="Requester pays" checked={is.paid} onChange={payment} />
              <Check label="Transfer acceleration" checked={is.accelerated} onChange={acceleration} />
            </div>
          </Card>
        </>
      )}
    </Load>
  );
}
