/** An access key that was made just now: its secret is shown this once. */
import { Copy, Modal } from "./core";

export function NewAccessKey({ of, id, secret, onClose }: { of?: string; id: string; secret: string; onClose: () => void }) {
  return (
    <Modal title="The new access key" onClose={onClose}>
      {of ? <p>It is of {of}.</p> : null}
      <p class="note warn">The secret is shown once. Copy it now: nobody can show it again.</p>
      <dl class="facts">
        <dt>Access key ID</dt>
        <dd>
          <Copy value={id} />
        </dd>
        <dt>Secret access key</dt>
        <dd>
          <Copy value={secret} />
        </dd>
      </dl>
    </Modal>
  );
}
