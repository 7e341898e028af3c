using System;

namespace Lowbit.Kernels.PartiallyBinarized;

/// <summary>
/// Steps of two units: bytes 4 r to 4 r + 3 are the places of up to four weights of row r, then their codes, at the same bytes. 128 and the
/// code 0 stand where a row has none. A window is 64 columns from any column on. At a tenth of salient weights 76 % of the slots are filled:
/// 21 bits a salient weight.
/// </summary>
internal readonly unsafe struct PlaceSteps : ISteps
{
    private const int Columns = 64;
    private const byte NoPlace = 128;

    public static int Bytes => 2 * RowTiles.Unit;

    public static int Window(int column) => column;

    public static bool Holds(int slot, int place, int before) => place < Columns;

    public static void Begin(byte* step) => new Span<byte>(step, RowTiles.Unit).Fill(NoPlace);

    public static void Put(byte* step, int row, int slot, int place, int before, byte code)
    {
        step[RowTiles.Slots * row + slot] = (byte)place;
        step[RowTiles.Unit + RowTiles.Slots * row + slot] = code;
    }
}
