// A real OpenID provider (npm's oidc-provider): people are who they say they are. Its issuer is printed once it listens.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [module, redirect] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(module));
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  // Another site than that of the dashboard, as providers are.
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: "pinion", client_secret: "s3cr:et +", redirect_uris: [redirect] }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["groups"] },
    pkce: { required: () => true },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: id, email_verified: true, groups: id.startsWith("alice") ? ["release"] : ["others"] }),
    }),
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
