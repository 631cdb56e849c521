/** What every view is given: the model, the state, and the way to change it. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { MachineView, Model } from "./model";
import type { SpaceView } from "./space";
import type { State } from "./state";

export interface Context {
  readonly model: Model;
  readonly state: State;
  /** The machine that is shown; null in a document without any. */
  readonly machine: MachineView | null;
  /** The space that is shown; null where the machine has none yet. */
  readonly space: SpaceView | null;
  /** Change the state; `replace`: without an entry in the history. */
  readonly go: (change: Partial<State>, replace?: boolean) => void;
}

export const Given = createContext<Context | null>(null);

export function useGiven(): Context {
  const given = useContext(Given);
  if (given === null) throw new Error("outside the page");
  return given;
}
