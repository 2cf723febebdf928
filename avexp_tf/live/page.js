// Sends camera and microphone of this browser to the program on the same machine.
//
// One clock stamps both: seconds of performance.now(). Pictures go as JPEG, sound as
// float32 samples at the rate of the sound card.
(() => {
  const PICTURES_PER_SEC = 15;
  const WIDTH = 480;
  const PIECE_SECS = 0.1;
  const MOST_UNDERWAY = 4;
  const SAY_EVERY_SECS = 4;
  let running = null;

  // A processor that hands on what it hears; it stands on its own.
  const PROCESSOR = `registerProcessor("avexp-hears", class extends AudioWorkletProcessor {
    process(inputs) {
      const channel = inputs[0][0];
      if (channel) this.port.postMessage({samples: channel.slice(), at: currentTime});
      return true;
    }
  });`;

  const say = (text) => {
    const place = document.querySelector("#avexp-devices");
    if (place) place.textContent = text;
  };

  const send = (call, kind, secs, body, rate = 0) => {
    if (call.underway >= MOST_UNDERWAY * 4) return;
    call.underway += 1;
    const query = `secs=${secs.toFixed(4)}&rate_hz=${rate}`;
    fetch(`avexp/${call.token}/${kind}?${query}`, {method: "POST", body})
      .then((answer) => { if (answer.status === 404) stop("The program has ended this call."); })
      .catch(() => stop("The program does not answer any more."))
      .finally(() => { call.underway -= 1; });
  };

  const watch = (call, stream) => {
    const video = document.querySelector("#avexp-self");
    video.srcObject = stream;
    video.hidden = false;
    const canvas = document.createElement("canvas");
    call.timer = setInterval(() => {
      if (!video.videoWidth || call.underway >= MOST_UNDERWAY) return;
      const secs = performance.now() / 1000;
      canvas.width = Math.min(WIDTH, video.videoWidth);
      canvas.height = Math.round(canvas.width * video.videoHeight / video.videoWidth);
      canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => { if (blob && running === call) send(call, "video", secs, blob); },
        "image/jpeg", 0.85);
    }, 1000 / PICTURES_PER_SEC);
  };

  const listen = async (call, stream) => {
    call.context = new AudioContext();
    const context = call.context;
    const url = URL.createObjectURL(new Blob([PROCESSOR], {type: "text/javascript"}));
    await context.audioWorklet.addModule(url);
    const node = new AudioWorkletNode(context, "avexp-hears", {numberOfOutputs: 0});
    context.createMediaStreamSource(stream).connect(node);
    const wanted = Math.round(PIECE_SECS * context.sampleRate);
    let pieces = [], length = 0, startSecs = 0;
    let offset = null;  // from the clock of the sound card to the one of the pictures
    node.port.onmessage = ({data}) => {
      const offsetNow = performance.now() / 1000 - data.at - data.samples.length / context.sampleRate;
      if (offset === null || Math.abs(offsetNow - offset) > 0.5) offset = offsetNow;
      offset = Math.min(offset, offsetNow);
      if (!length) startSecs = data.at + offset;
      pieces.push(data.samples);
      length += data.samples.length;
      if (length < wanted) return;
      const samples = new Float32Array(length);
      let place = 0;
      for (const piece of pieces) { samples.set(piece, place); place += piece.length; }
      pieces = []; length = 0;
      if (running === call) send(call, "audio", startSecs, samples, context.sampleRate);
    };
  };

  const stop = (text = "Camera and microphone are off.") => {
    if (!running) return;
    const call = running;
    running = null;
    clearInterval(call.timer);
    if (call.context) call.context.close();
    if (call.stream) call.stream.getTracks().forEach((track) => track.stop());
    const video = document.querySelector("#avexp-self");
    if (video) { video.srcObject = null; video.hidden = true; }
    say(text);
  };

  const media = async () => {
    const video = {width: {ideal: 640}, height: {ideal: 480}};
    for (const [wanted, found] of [
      [{video, audio: true}, "Camera and microphone are on."],
      [{video}, "The camera is on; no microphone was found or allowed."],
      [{audio: true}, "The microphone is on; no camera was found or allowed."],
    ]) {
      try {
        return [await navigator.mediaDevices.getUserMedia(wanted), found];
      } catch (error) { /* the next one */ }
    }
    return [null, "Neither camera nor microphone was found or allowed."];
  };

  // The figures are drawn anew several times a second; what a screen reader reads aloud
  // stays where it is and changes seldom.
  setInterval(() => {
    const view = document.querySelector("#avexp-view");
    const place = document.querySelector("#avexp-said");
    if (view && place && place.textContent !== view.dataset.said) {
      place.textContent = view.dataset.said;
    }
  }, SAY_EVERY_SECS * 1000);

  // Called by the page when a call begins; an empty token ends it.
  window.avexpDevices = async (token) => {
    stop();
    if (!token) return;
    if (!navigator.mediaDevices) {
      say("This browser lends its camera only to pages of this machine (localhost) or over https.");
      return;
    }
    say("The browser asks whether it may use camera and microphone…");
    const [stream, found] = await media();
    if (!stream) { say(found); return; }
    const call = {token, stream, underway: 0};
    running = call;
    say(found);
    if (stream.getVideoTracks().length) watch(call, stream);
    if (stream.getAudioTracks().length) {
      try { await listen(call, stream); } catch (error) { say(`No sound: ${error.message}`); }
    }
  };
})();
